// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "allocation/fraction_host.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/limits_json.hpp"
#include "cli/memory_text.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "config/fraction_rules.hpp"
#include "config/names.hpp"

namespace gpuward {

using nlohmann::json;

static unsigned up_to(unsigned number, unsigned step, unsigned most) {
  const unsigned below = std::min(number, most) / step * step;
  return std::max(below < std::min(number, most) ? below + step : below, step);
}

/// The command with the nearest values that are valid and not less.
static std::string command_for(const GpuPart& part) {
  constexpr unsigned most_mib = 16U << 20, most_percent = 100;
  const std::string size =
      std::to_string(up_to(part.memory_mib, fraction_memory_step, most_mib)) + "MiB";
  if (!part.compute_percent) return "run: gpuward fit " + size;
  return "run: gpuward fit " + size + ' ' +
         std::to_string(up_to(*part.compute_percent, fraction_compute_step, most_percent)) + '%';
}

/// "5GB", "5g", "4096": the number is meant, with another unit.
static GpuPart part_like(const FractionWords& words) {
  const size_t end = words.size.find_first_not_of("0123456789");
  const auto number = to_number<unsigned>(std::string_view(words.size).substr(0, end));
  constexpr unsigned usual_mib = 4096, most_gib = 16U << 10;
  GpuPart part{usual_mib, parse_percent(words.share)};
  if (!number) return part;
  const std::string unit =
      end == std::string::npos ? "m" : lower_case(std::string_view(words.size).substr(end, 1));
  if (unit == "g" && *number <= most_gib) part.memory_mib = *number * 1024;
  if (unit == "m") part.memory_mib = *number;
  return part;
}

static GpuPart require_part(const FractionWords& words) {
  const std::string size = "SIZE " + in_quotes(words.size);
  if (const auto share = parse_percent(words.size))
    throw Error(size, "compute units are requested with memory only",
                command_for({part_like(words).memory_mib, share}));
  auto part = parse_gpu_part(words.size);
  if (!part)
    throw Error(size, "expected a number and MiB or GiB, such as 4096MiB or 4GiB",
                command_for(part_like(words)));
  if (words.share.empty()) return *part;
  if (part->compute_percent)
    throw Error(size, "has a share of its own beside " + in_quotes(words.share),
                command_for(*part));
  part->compute_percent = parse_percent(words.share);
  if (!part->compute_percent)
    throw Error("SHARE " + in_quotes(words.share), std::string(compute_rule), command_for(*part));
  return *part;
}

static FractionRequest require_request(const FractionWords& words) {
  const GpuPart part = require_part(words);
  if (const std::string advice = fraction_advice(part); !advice.empty())
    throw Error(in_quotes(words.size + (words.share.empty() ? "" : " " + words.share)), advice,
                command_for(part));
  FractionRequest request{part};
  if (words.workload == "graphics") request.workload = Workload::graphics;
  if (words.workload == "compute") request.workload = Workload::compute;
  return request;
}

// ---- text

static std::string percent_text(const std::optional<unsigned>& percent) {
  return percent ? std::to_string(*percent) + " %" : "";
}

static std::string waste_text(const FractionRequest& request, const FractionCandidate& candidate) {
  const std::string memory = std::to_string(candidate.unused_mib) + " MiB";
  return request.part.compute_percent ? memory + ", " + percent_text(candidate.unused_percent)
                                      : memory;
}

static std::string candidate_table(const FractionRequest& request,
                                   const std::vector<FractionCandidate>& candidates) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(candidates.size());
  for (const FractionCandidate& one : candidates)
    rows.push_back({one.gpu, std::string(use_word(one.use)), one.type, one.name,
                    memory_text(one.memory_mib), to_string(one.limits.memory),
                    percent_text(one.compute_percent), to_string(one.limits.compute),
                    waste_text(request, one), std::to_string(one.available), one.unavailable});
  return format_table({"GPU", "USE", "TYPE", "NAME", "MEMORY", "MEMORY LIMIT", "COMPUTE",
                       "COMPUTE LIMIT", "WASTE", "AVAILABLE", "REASON"},
                      rows);
}

static std::string left_out_table(const std::vector<FractionLeftOut>& left_out) {
  std::vector<std::vector<std::string>> rows;
  rows.reserve(left_out.size());
  for (const FractionLeftOut& one : left_out)
    rows.push_back({one.gpu, one.type, one.name, one.reason});
  return format_table({"GPU", "TYPE", "NAME", "NOT SUITABLE"}, rows);
}

// ---- JSON

template <typename T>
static json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

static json text_or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

static json candidate_json(const FractionRequest& request, const FractionCandidate& one) {
  json waste{{"memory", one.unused_mib}, {"compute", nullptr}};
  if (request.part.compute_percent) waste["compute"] = one.unused_percent;
  return {{"gpu", one.gpu},
          {"use", use_word(one.use)},
          {"type", text_or_null(one.type)},
          {"type_name", text_or_null(one.name)},
          {"memory", one.memory_mib},
          {"compute", or_null(one.compute_percent)},
          {"waste", std::move(waste)},
          {"limits", limits_json(one.limits)},
          {"available", one.available},
          {"reason", text_or_null(one.unavailable)}};
}

static json choice_json(const FractionRequest& request, const FractionChoice& choice) {
  json candidates = json::array(), left_out = json::array();
  for (const FractionCandidate& one : choice.candidates)
    candidates.push_back(candidate_json(request, one));
  for (const FractionLeftOut& one : choice.left_out)
    left_out.push_back({{"gpu", one.gpu},
                        {"type", text_or_null(one.type)},
                        {"type_name", text_or_null(one.name)},
                        {"reason", one.reason}});
  return {{"memory", request.part.memory_mib},
          {"compute", or_null(request.part.compute_percent)},
          {"candidates", std::move(candidates)},
          {"left_out", std::move(left_out)}};
}

/// Any other directory would be a host without a GPU.
static void require_files_of_host(const Root& root) {
  if (exists(root.sys({}))) return;
  throw Error("directory " + in_quotes(root.prefix),
              "expected the files of a host, as 'gpuward gather' records them, found no sys",
              "tar -xf gpuward-gather.tar && gpuward fit 4GiB --tree gpuward-gather");
}

int fit_command(const Settings& settings, const FractionWords& words) {
  const FractionRequest request = require_request(words);
  require_files_of_host(settings.root);
  const Config config = require_config(settings.root);
  const Host host = read_host(settings.root, config);
  const auto gpus = fraction_gpus(settings.root, config, host, request);
  FractionChoice choice = fraction_choice(request, gpus);
  // With a claim that cannot be read no domain is assigned a GPU.
  if (!host.claimed.unreadable.empty())
    for (FractionCandidate& one : choice.candidates) {
      one.available = 0;
      one.unavailable = "a claim cannot be read";
    }
  if (settings.json)
    print_json(settings.json, "fit", choice_json(request, choice));
  else {
    if (!choice.candidates.empty()) print_lines(candidate_table(request, choice.candidates));
    if (!choice.left_out.empty() && !choice.candidates.empty()) print_lines("\n");
    if (!choice.left_out.empty()) print_lines(left_out_table(choice.left_out));
  }
  const int status = report_unreadable(host.claimed);
  if (!choice.candidates.empty()) return status;
  print_failure(fraction_refusal(request, gpus, {}));  // the reasons are printed above
  return 1;
}

}  // namespace gpuward
