// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/stand_ins.hpp"

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "inventory/message_names.hpp"
#include "mdev/instance.hpp"
#include "mdev/provisioned.hpp"

namespace gpuward {

static constexpr size_t uuid_length = 36;

static bool is_alphanumeric(char c) {
  return std::isalnum(static_cast<unsigned char>(c));
}

/// The number of `key` among those seen so far, from 1.
template <typename Key>
static size_t number_of(std::map<Key, size_t>& seen, const Key& key) {
  return seen.emplace(key, seen.size() + 1).first->second;
}

/// Serial numbers are compared without regard to case.
static std::string digits_of(std::string_view serial) {
  std::string digits;
  for (const char c : serial)
    if (is_alphanumeric(c))
      digits += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return digits;
}

/// A number of zeros only is none (pci/identity.cpp).
static bool is_none(const std::string& digits) {
  return digits.find_first_not_of('0') == digits.npos;
}

std::string StandIns::serial(std::string_view text) {
  const std::string digits = digits_of(text);
  if (is_none(digits)) return std::string(text);
  std::string number = std::to_string(number_of(serials_, digits));
  if (number.size() > digits.size()) return number;
  std::string result(text);
  size_t left = number.size();
  for (size_t at = result.size(); at-- > 0;)
    if (is_alphanumeric(result[at])) result[at] = left > 0 ? number[--left] : '0';
  return result;
}

Uuid StandIns::uuid(const Uuid& uuid) {
  if (kept_.contains(uuid) || uuid == Uuid{}) return uuid;
  Uuid result;
  result.bytes[6] = 0x40;
  result.bytes[8] = 0x80;
  const size_t number = number_of(uuids_, uuid);
  for (size_t byte = 0; byte < 6; ++byte)
    result.bytes[15 - byte] = static_cast<uint8_t>(number >> 8 * byte & 0xff);
  return result;
}

/// A name as messages have it: made printable, as a word of a command, and cut where it is long.
static std::vector<std::string> forms_of(std::string_view name) {
  std::vector<std::string> forms = {std::string(name), printable(name)};
  const std::string word = shell_word(name), quoted = in_quotes(name);
  if (word.starts_with('\'')) forms.push_back(word.substr(1, word.size() - 2));
  const size_t cut = quoted.rfind("...' (");
  forms.push_back(quoted.substr(1, (cut == quoted.npos ? quoted.size() - 1 : cut) - 1));
  return forms;
}

std::string StandIns::Names::stand_in(std::string_view name) {
  const auto known = numbers.find(std::string(name));
  if (known != numbers.end()) return word + std::to_string(known->second);
  ++count;
  for (std::string& form : forms_of(name)) numbers.emplace(std::move(form), count);
  return word + std::to_string(count);
}

/// "*" names nobody.
static bool names_someone(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || static_cast<unsigned char>(c) >= 0x80;
  });
}

std::string StandIns::pattern(std::string_view pattern) {
  static constexpr std::string_view by_owner = "owner:";
  pattern = trim(pattern);
  const bool is_by_owner = pattern.starts_with(by_owner);
  if (is_by_owner) pattern = trim(pattern.substr(by_owner.size()));
  const std::string before(is_by_owner ? by_owner : "");
  if (!names_someone(pattern)) return before + std::string(pattern);
  if (pattern.find_first_of("*?[\\") != pattern.npos) return before + patterns_.stand_in(pattern);
  return before + (is_by_owner ? owner(pattern) : domain(pattern));
}

std::string StandIns::with_uuids(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const bool is_start = result.empty() || !is_alphanumeric(result.back());
    const auto found = is_start ? parse_uuid(text.substr(0, uuid_length)) : std::nullopt;
    const bool is_whole = text.size() <= uuid_length || !is_alphanumeric(text[uuid_length]);
    if (found && is_whole) {
      result += to_string(uuid(*found));
      text.remove_prefix(uuid_length);
    } else {
      result += text.front();
      text.remove_prefix(1);
    }
  }
  return result;
}

/// Replaces each occurrence of `before` and the text up to `end` after it.
template <typename Replace>
static std::string with_each_after(std::string_view text, std::string_view before,
                                   std::string_view end, Replace replace) {
  std::string result;
  for (;;) {
    const size_t start = text.find(before);
    if (start == text.npos) return result + std::string(text);
    const size_t at = start + before.size();
    const size_t until = std::min(text.find_first_of(end, at), text.size());
    result += text.substr(0, at);
    if (until > at) result += replace(text.substr(at, until - at));
    text.remove_prefix(until);
  }
}

/// Where "serial:", "serial :" or "serial=" ends, in either case of its letters; npos where there
/// is none.
static size_t end_of_serial_word(std::string_view text) {
  constexpr std::string_view word = "serial";
  for (auto from = text.begin();; ++from) {
    from = std::search(from, text.end(), word.begin(), word.end(),
                       [](char a, char b) { return (a | 0x20) == b; });
    if (from == text.end()) return text.npos;
    const auto end = static_cast<size_t>(from - text.begin()) + word.size();
    const size_t sign = text.find_first_not_of(" \t\n", end);
    if (sign != text.npos && (text[sign] == ':' || text[sign] == '=')) return sign + 1;
  }
}

std::string StandIns::with_serials(std::string_view text, std::string_view end) {
  std::string result;
  for (;;) {
    const size_t word = end_of_serial_word(text);
    const size_t at = word == text.npos ? word : text.find_first_not_of(" \t\n", word);
    if (at == text.npos) return result + std::string(text);
    const size_t until = std::min(text.find_first_of(end, at), text.size());
    result += text.substr(0, at);
    result += serial(text.substr(at, until - at));
    text.remove_prefix(until);
  }
}

/// "domain UUID NAME", the name up to the end of the line, as claims and records have it.
static constexpr std::string_view domain_line = "domain ";
static constexpr size_t before_name = domain_line.size() + uuid_length + 1;

static bool names_domain(std::string_view line) {
  return line.starts_with(domain_line) && line.size() > before_name &&
         parse_uuid(line.substr(domain_line.size(), uuid_length));
}

/// What follows a serial number in a line; in a message it may be in quotes.
static constexpr std::string_view after_serial = " \t,;'\n";

std::string StandIns::in_line(std::string_view line) {
  std::string text(line);
  if (names_domain(line))
    text = std::string(line.substr(0, before_name)) + domain(line.substr(before_name));
  else if (line.starts_with("serial "))
    text = "serial " + serial(line.substr(7));
  else if (line.starts_with("owner ") && line != "owner -")
    text = "owner " + owner(line.substr(6));
  text = with_each_after(text, "domain '", "'", [&](auto name) { return domain(name); });
  return with_uuids(with_serials(text, after_serial));
}

std::string StandIns::in_text(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    result += in_line(text.substr(0, end));
    if (end < text.size()) result += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

void StandIns::learn_domain(std::string_view name) {
  if (names_someone(name)) domain(name);
}

void StandIns::learn(std::string_view message) {
  const MessageNames names = names_in_message(message);
  for (const std::string& name : names.domains) learn_domain(name);
  for (const std::string& name : names.owners)
    if (names_someone(name)) owner(name);
  for (const std::string& text : names.patterns) pattern(text);
}

/// What is to be replaced where it is a word, by the first byte.
std::map<char, std::map<std::string, std::string>> StandIns::words() const {
  std::map<char, std::map<std::string, std::string>> words;
  for (const Names* const names : {&domains_, &owners_, &patterns_})
    for (const auto& [form, number] : names->numbers)
      if (!form.empty()) words[form.front()].emplace(form, names->word + std::to_string(number));
  if (!host_name_.empty()) words[host_name_.front()].emplace(host_name_, "host");
  return words;
}

/// Whether `word` is in the text at this place and is no part of a longer word.
static bool is_word_at(std::string_view text, size_t at, std::string_view word) {
  if (text.substr(at, word.size()) != word) return false;
  const size_t end = at + word.size();
  const bool goes_on_before = at > 0 && is_alphanumeric(text[at - 1]);
  const bool goes_on_behind = end < text.size() && is_alphanumeric(text[end]);
  return !(goes_on_before && is_alphanumeric(word.front())) &&
         !(goes_on_behind && is_alphanumeric(word.back()));
}

/// The longest counts: "web" is a part of "web-2" too. Words are replaced in one pass, as a
/// stand-in may have a name in it.
static std::string with_words(std::string_view text,
                              const std::map<char, std::map<std::string, std::string>>& words) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const std::pair<const std::string, std::string>* longest = nullptr;
    if (const auto same = words.find(text[at]); same != words.end())
      for (const auto& word : same->second)
        if ((!longest || word.first.size() > longest->first.size()) &&
            is_word_at(text, at, word.first))
          longest = &word;
    result += longest ? longest->second : std::string(1, text[at]);
    at += longest ? longest->first.size() : 1;
  }
  return result;
}

// Names come before UUIDs, as a name may have one in it; serial numbers before names, as a domain
// may be named "serial".
std::string StandIns::in_message(std::string_view message) {
  return with_uuids(with_words(with_serials(message, after_serial), words()));
}

/// The text that stands for a serial number alone ends with a line end.
static std::string lone_serial(const std::string& text, StandIns& stand_ins) {
  const std::string_view serial = trim(text);
  return stand_ins.serial(serial) + text.substr(serial.size());
}

static RecordedFile with_stand_ins(const RecordedFile& file, StandIns& stand_ins) {
  switch (file.kind) {
    case RecordedFile::Kind::serial:
      return {RecordedFile::Kind::text, lone_serial(file.text, stand_ins)};
    case RecordedFile::Kind::pcie_serial:
      return {RecordedFile::Kind::text,
              config_space_of(file.text.empty() ? "" : stand_ins.serial(file.text))};
    default:
      return {file.kind, stand_ins.in_text(file.text)};
  }
}

/// Of a device: its name ends with a hash of the card's identity, and of 0.1.0 it has the name of
/// the domain and nothing else (state/device_records.cpp).
static bool is_device_record(std::string_view path) {
  return path.starts_with("var/lib/gpuward/");
}

static std::string path_with_stand_ins(const std::string& path, StandIns& stand_ins) {
  const size_t hash = path.find('~');
  if (!is_device_record(path) || hash == path.npos) return stand_ins.in_text(path);
  return path.substr(0, hash + 1) + stand_ins.serial(path.substr(hash + 1));
}

std::map<std::string, RecordedFile> with_stand_ins(const HostRecord& record, StandIns& stand_ins) {
  std::map<std::string, RecordedFile> files;
  for (const auto& [path, file] : record.files) {
    const bool is_of_0_1 = is_device_record(path) && !file.text.starts_with("gpuward-record ");
    std::string name = path_with_stand_ins(path, stand_ins);
    files[std::move(name)] = is_of_0_1
                                 ? RecordedFile{file.kind, stand_ins.domain(trim(file.text)) + '\n'}
                                 : with_stand_ins(file, stand_ins);
  }
  return files;
}

void keep_provisioned(const Root& root, StandIns& stand_ins) {
  ProvisionedUuids provisioned;
  for (const Instance& instance : list_instances(root))
    if (provisioned.contains(instance)) stand_ins.keep(instance.uuid);
}

}  // namespace gpuward
