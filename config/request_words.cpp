// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/request_words.hpp"

#include "base/text.hpp"

namespace gpuward {

std::optional<unsigned> mebibytes_of(std::string_view text) {
  constexpr unsigned mib_per_gib = 1024;
  constexpr unsigned most = 16U << 20;  // 16 TiB, far from where the numbers end
  unsigned unit = 0;
  if (text.ends_with("MiB")) unit = 1;
  if (text.ends_with("GiB")) unit = mib_per_gib;
  if (unit == 0) return {};
  text.remove_suffix(3);
  const auto number = to_number<unsigned>(trim(text));
  if (!number || *number == 0 || *number > most / unit) return {};
  return *number * unit;
}

std::optional<unsigned> parse_percent(std::string_view text) {
  if (!text.ends_with('%')) return {};
  text.remove_suffix(1);
  return to_number<unsigned>(trim(text));
}

std::optional<GpuPart> parse_gpu_part(std::string_view text) {
  const size_t slash = text.find('/');
  const auto memory = mebibytes_of(text.substr(0, slash));
  if (!memory) return {};
  if (slash == std::string_view::npos) return GpuPart{*memory, {}};
  const auto compute = parse_percent(text.substr(slash + 1));
  if (!compute) return {};
  return GpuPart{*memory, *compute};
}

std::string_view reserved_request(std::string_view name) {
  if (name == "-") return "reserved in claims for a hostdev written by hand";
  if (name == whole_word) return "reserved as the request for any whole GPU (gpuward attach)";
  if (parse_gpu_part(name)) return "reserved as the request for a part of a GPU (gpuward attach)";
  return {};
}

}  // namespace gpuward
