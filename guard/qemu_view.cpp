// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/qemu_view.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/quote.hpp"

namespace gpuward {

using nlohmann::json;

/// An answer comes from a QEMU that a guest may have taken over: it may be anything.
static json result_of(std::string_view answer) {
  const json whole = json::parse(answer, nullptr, false);
  if (!whole.is_object()) return {};
  const auto result = whole.find("return");
  return result == whole.end() ? json{} : *result;
}

static std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>() : "";
}

std::optional<std::string> status_in(std::string_view answer) {
  std::string status = text_of(result_of(answer), "status");
  if (status.empty()) return {};
  const bool is_word = std::all_of(status.begin(), status.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
  return is_word && status.size() <= 40 ? status : "unknown";
}

std::optional<std::vector<QemuObject>> objects_in(std::string_view answer) {
  const json list = result_of(answer);
  if (!list.is_array()) return {};
  std::vector<QemuObject> objects;
  for (const json& entry : list) {
    const std::string type = text_of(entry, "type");
    if (!type.starts_with("child<") || !type.ends_with('>')) continue;
    objects.push_back({text_of(entry, "name"), type.substr(6, type.size() - 7)});
  }
  return objects;
}

std::string list_command(std::string_view folder) {
  return R"({"execute":"qom-list","arguments":{"path":")" + std::string(folder) + R"("}})";
}

static bool is_backend(std::string_view type) {
  return type.starts_with("memory-backend-");
}

static bool concerns_guards(std::string_view type) {
  return is_backend(type) || type.starts_with("vfio-") || type == "pc-dimm" || type == "nvdimm" ||
         type.starts_with("virtio-mem") || type.starts_with("virtio-pmem");
}

/// libvirt's own names for the guest's memory and for the memory of its devices.
static bool is_backend_of_libvirt(std::string_view name,
                                  const std::set<std::string, std::less<>>& aliases) {
  if (name.ends_with(".ram") || name.starts_with("ram-node")) return true;
  for (const std::string_view prefix : {"mem", "shmmem-"})
    if (name.starts_with(prefix) && aliases.contains(name.substr(prefix.size()))) return true;
  return false;
}

std::vector<std::string> unknown_to_libvirt(const std::vector<QemuObject>& objects,
                                            const std::set<std::string, std::less<>>& aliases) {
  std::vector<std::string> unknown;
  for (const QemuObject& object : objects) {
    if (!concerns_guards(object.type)) continue;
    if (is_backend(object.type) ? is_backend_of_libvirt(object.name, aliases)
                                : aliases.contains(object.name))
      continue;
    unknown.push_back(object.type + ' ' + in_quotes(object.name));
  }
  return unknown;
}

}  // namespace gpuward
