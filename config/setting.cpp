// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/setting.hpp"

#include <set>

#include "base/quote.hpp"

namespace gpuward {

void Setting::reject(std::string_view what, std::string_view advice) const {
  std::string message = "bad value " + in_quotes(what) + " for " + in_quotes(key) + " in ";
  message += section;
  message += "; ";
  message += advice;
  problems.push_back({position, std::move(message)});
}

std::vector<std::string_view> split_list(const Setting& setting) {
  std::vector<std::string_view> result;
  std::set<std::string_view> seen;
  for (const std::string_view item : split(setting.value, ',')) {
    if (item.empty())
      setting.reject(setting.value, "empty list item");
    else if (!seen.insert(item).second)
      setting.reject(item, "listed twice");
    else
      result.push_back(item);
  }
  return result;
}

std::optional<unsigned> number_within(std::string_view text, unsigned least, unsigned most) {
  const auto number = to_number<unsigned>(text);
  if (!number || *number < least || *number > most) return {};
  return number;
}

std::optional<unsigned> mebibytes(const Setting& setting) {
  constexpr unsigned mib_per_gib = 1024;
  constexpr unsigned most = 16U << 20;  // 16 TiB, far from where the numbers end
  std::string_view digits = setting.value;
  unsigned unit = 0;
  if (digits.ends_with("MiB")) unit = 1;
  if (digits.ends_with("GiB")) unit = mib_per_gib;
  if (unit != 0) digits.remove_suffix(3);
  const auto number = number_within(trim(digits), 1, unit == 0 ? 0 : most / unit);
  if (!number)
    setting.reject(setting.value, "expected a number and MiB or GiB, such as 4096MiB or 4GiB");
  else
    return *number * unit;
  return {};
}

}  // namespace gpuward
