// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/json_schema.hpp"

#include <algorithm>

namespace gpuward {

using nlohmann::json;

/// One word that schema 1 spells otherwise: a key where `of` is empty, else a value of that key.
/// A word with a space at its end is the start of a key, which ends in the name of a device. A key
/// that is spelled "" does not exist there.
struct Spelling {
  std::string_view command, of, word, in_schema_1;
};

static constexpr Spelling spellings[] = {
    {"list", "", "used_by", "open_in"},
    {"list", "state", "in-use", "held"},
    {"list", "state", "provisioned", "ready"},
    {"list", "state", "external", "other"},
    {"show", "", "used_by", "open_in"},
    {"show", "", "used_by ", "open "},
    {"show", "", "link_max", "link_most"},
    {"show", "", "single_use", "used_once"},
    {"show", "state", "in-use", "held"},
    {"show", "state", "provisioned", "ready"},
    {"show", "state", "external", "other"},
    {"plan", "", "skipped", "kept"},
    {"plan", "", "errors", "impossible"},
    {"apply", "", "skipped", "kept"},
    {"reconcile", "result", "released", "given-back"},
    {"reconcile", "result", "skipped", "left-alone"},
    {"list", "", "memory", ""},
    {"list", "", "limits", ""},
    {"list", "", "gpu_instances", ""},
    {"list", "", "type_name", ""},
    {"show", "", "memory", ""},
    {"show", "", "type_name", ""},
    {"explain", "", "remaining", "left"},
    {"explain", "state", "enforced", "holds"},
    {"explain", "state", "incomplete", "open"},
    {"explain", "state", "inactive", "off"},
    {"explain", "state", "not-applicable", "none"},
};

static std::string spelled(std::string_view command, std::string_view of, std::string_view word) {
  for (const Spelling& spelling : spellings) {
    if (spelling.command != command || spelling.of != of) continue;
    const bool is_start = spelling.word.ends_with(' ') && word.starts_with(spelling.word);
    if (is_start || spelling.word == word)
      return std::string(spelling.in_schema_1).append(word.substr(spelling.word.size()));
  }
  return std::string(word);
}

/// What `show GPU` prints of an instance: "TYPE, STATE" or "TYPE, STATE by DOMAIN".
static std::string with_state_spelled(const std::string& text) {
  const size_t comma = text.find(", ");
  if (comma == std::string::npos) return text;
  const size_t start = comma + 2, end = std::min(text.find(' ', start), text.size());
  return text.substr(0, start) + spelled("show", "state", text.substr(start, end - start)) +
         text.substr(end);
}

static json in_schema_1(std::string_view command, std::string_view key, const json& value) {
  if (value.is_string() && command == "show" && key.starts_with("instance "))
    return with_state_spelled(value.get_ref<const std::string&>());
  if (value.is_string() && !key.empty())
    return spelled(command, key, value.get_ref<const std::string&>());
  if (value.is_array()) {
    json array = json::array();
    for (const json& element : value) array.push_back(in_schema_1(command, "", element));
    return array;
  }
  if (!value.is_object()) return value;
  json object = json::object();
  for (const auto& [name, element] : value.items())
    if (const std::string word = spelled(command, "", name); !word.empty())
      object[word] = in_schema_1(command, name, element);
  return object;
}

json in_schema(int schema, std::string_view command, json value) {
  if (schema == 1) value = in_schema_1(command, "", value);
  value["schema"] = schema;
  return value;
}

}  // namespace gpuward
