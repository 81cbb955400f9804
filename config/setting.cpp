// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/setting.hpp"

#include <set>

#include "base/quote.hpp"
#include "config/request_words.hpp"

namespace gpuward {

void Setting::reject(std::string_view what, std::string_view advice) const {
  std::string message = "bad value " + in_quotes(what) + " for " + in_quotes(key) + " in ";
  message += section;
  message += "; ";
  message += advice;
  problems.push_back({position, std::move(message)});
}

std::optional<Use> choose_use(const Setting& setting, bool may_be_off) {
  std::vector<std::string_view> words;
  for (const UseTraits& kind : use_traits) {
    if (is_off(kind.use) && !may_be_off) continue;
    if (kind.word == setting.value) return kind.use;
    words.push_back(kind.word);
  }
  setting.reject(setting.value, suggestion(setting.value, words));
  return {};
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
  const auto number = mebibytes_of(setting.value);
  if (!number)
    setting.reject(setting.value, "expected a number and MiB or GiB, such as 4096MiB or 4GiB");
  return number;
}

}  // namespace gpuward
