// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/gpu_request.hpp"

namespace gpuward {

const GpuRequest* find_request(const Domain& domain, std::string_view alias) {
  for (const GpuRequest& gpu : domain.requests)
    if (gpu.alias == alias) return &gpu;
  return nullptr;
}

bool matches_alias(std::string_view alias, std::string_view wanted) {
  return alias.starts_with(alias_prefix) && (wanted.empty() || gpu_alias(alias) == wanted);
}

std::vector<const Element*> gpus_to_detach(const Element& ours, std::string_view wanted) {
  std::vector<const Element*> gpus;
  for (const Element& element : ours.children)
    if (element.name == "gpu" && element.name_space == domain_namespace &&
        matches_alias(element.attribute("alias").value_or(""), wanted))
      gpus.push_back(&element);
  return gpus;
}

static std::string number_text(const std::optional<unsigned>& number) {
  return number ? std::to_string(*number) : "";
}

std::vector<std::pair<const char*, std::string>> settled_attributes(const SettledRequest& settled) {
  const Granted& granted = settled.granted;
  return {{"use", std::string(use_word(settled.use))},
          {"type", settled.type},
          {"device", settled.device},
          {"of", settled.of_profile ? "profile" : ""},
          {"memory", number_text(granted.memory_mib)},
          {"compute", number_text(granted.compute_percent)},
          {"graphics", !granted.has_graphics   ? ""
                       : *granted.has_graphics ? "yes"
                                               : "no"}};
}

std::string settled_text(const std::optional<SettledRequest>& settled) {
  std::string text;
  if (!settled) return text;
  for (const auto& [name, value] : settled_attributes(*settled))
    if (!value.empty()) text += std::string(" ") + name + "='" + value + '\'';
  return text;
}

}  // namespace gpuward
