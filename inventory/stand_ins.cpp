// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/stand_ins.hpp"

#include <algorithm>
#include <cctype>

#include "base/text.hpp"
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

std::string StandIns::domain(std::string_view name) {
  return "domain-" + std::to_string(number_of(domains_, std::string(name)));
}

std::string StandIns::owner(std::string_view name) {
  return "owner-" + std::to_string(number_of(owners_, std::string(name)));
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

/// "domains 'a', 'b'": replaces each of the names.
template <typename Replace>
static std::string with_listed_domains(std::string_view text, Replace replace) {
  static constexpr std::string_view before = "domains '", between = "', '";
  std::string result;
  for (size_t start; (start = text.find(before)) != text.npos;) {
    size_t at = start + before.size();
    for (;;) {
      const size_t until = std::min(text.find('\'', at), text.size());
      result += text.substr(0, at);
      result += replace(text.substr(at, until - at));
      text.remove_prefix(until);
      if (!text.starts_with(between)) break;
      at = between.size();
    }
  }
  return result + std::string(text);
}

/// Each occurrence of `word` that is no part of a longer one.
static std::string with_word(std::string_view text, std::string_view word,
                             std::string_view replacement) {
  std::string result;
  for (size_t at; !word.empty() && (at = text.find(word)) != text.npos;) {
    const bool is_start = at == 0 || !is_alphanumeric(text[at - 1]);
    const size_t end = at + word.size();
    const bool is_end = end == text.size() || !is_alphanumeric(text[end]);
    result += text.substr(0, at);
    result += is_start && is_end ? replacement : word;
    text.remove_prefix(end);
  }
  return result + std::string(text);
}

/// "domain UUID NAME", the name up to the end of the line, as claims and records have it.
static constexpr std::string_view domain_line = "domain ";
static constexpr size_t before_name = domain_line.size() + uuid_length + 1;

static bool names_domain(std::string_view line) {
  return line.starts_with(domain_line) && line.size() > before_name &&
         parse_uuid(line.substr(domain_line.size(), uuid_length));
}

std::string StandIns::in_line(std::string_view line) {
  std::string text(line);
  if (names_domain(line))
    text = std::string(line.substr(0, before_name)) + domain(line.substr(before_name));
  else if (line.starts_with("serial "))
    text = "serial " + serial(line.substr(7));
  else if (line.starts_with("owner ") && line != "owner -")
    text = "owner " + owner(line.substr(6));
  text = with_each_after(text, "domain '", "'", [&](auto name) { return domain(name); });
  text = with_listed_domains(text, [&](auto name) { return domain(name); });
  text = with_each_after(text, "owner '", "'", [&](auto name) { return owner(name); });
  text = with_each_after(text, "serial:", " \t,;", [&](auto word) { return serial(word); });
  return with_uuids(text);
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

/// "acme-*", "owner:team-?": what stands between the wildcards.
std::string StandIns::in_pattern(std::string_view pattern) {
  static constexpr std::string_view by_owner = "owner:";
  const bool is_by_owner = pattern.starts_with(by_owner);
  if (is_by_owner) pattern = trim(pattern.substr(by_owner.size()));
  std::string result(is_by_owner ? by_owner : "");
  while (!pattern.empty()) {
    const size_t end = std::min(pattern.find_first_of("*?"), pattern.size());
    const std::string_view name = pattern.substr(0, end);
    if (!name.empty()) result += is_by_owner ? owner(name) : domain(name);
    if (end < pattern.size()) result += pattern[end];
    pattern.remove_prefix(std::min(end + 1, pattern.size()));
  }
  return result;
}

std::string StandIns::in_patterns(std::string_view list) {
  std::string result;
  for (const std::string_view item : split(list, ','))
    result += (result.empty() ? "" : ", ") + in_pattern(trim(item));
  return result;
}

static constexpr std::string_view quota_section = "[quota ";

/// Messages name "[quota web-*]", and "allow = web-*, owner:team-a (FILE:LINE)".
std::string StandIns::in_journal(std::string_view text) {
  std::string result = with_word(text, host_name_, "host");
  result = with_each_after(result, quota_section, "]\n",
                           [&](auto pattern) { return in_pattern(pattern); });
  result = with_each_after(result, "allow = ", "(\n",
                           [&](auto patterns) { return in_patterns(patterns) + ' '; });
  return in_text(result);
}

/// As config/ini_file.cpp reads them: a whole line, or what follows " ;".
static std::string_view without_comment(std::string_view line) {
  const std::string_view start = trim(line);
  if (start.starts_with('#') || start.starts_with(';')) return {};
  for (const char* const mark : {" ;", "\t;"}) line = line.substr(0, line.find(mark));
  return line;
}

/// What "[quota PATTERN]" has; nothing of another line.
static std::optional<std::string_view> pattern_of_quota(std::string_view line) {
  line = trim(line);
  const size_t end = line.rfind(']');
  if (!line.starts_with(quota_section) || end == line.npos) return {};
  return trim(line.substr(quota_section.size(), end - quota_section.size()));
}

/// Where the value of a line begins; nothing of one that goes on with the value before it.
static std::optional<size_t> start_of_value(std::string_view line) {
  const size_t at = line.find_first_of("=:,;");
  return at != line.npos && line[at] == '=' ? std::optional(at + 1) : std::nullopt;
}

std::string StandIns::in_config(std::string_view text) {
  std::string result;
  bool is_allow = false;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = without_comment(rest.substr(0, end));
    const auto value = start_of_value(line);
    if (value || trim(line).starts_with('['))
      is_allow = value && trim(line.substr(0, *value - 1)) == "allow";
    if (const auto pattern = pattern_of_quota(line))
      result += std::string(quota_section) + in_pattern(*pattern) + ']';
    else if (is_allow && !trim(line).empty())
      result += std::string(line.substr(0, value.value_or(0))) + ' ' +
                in_patterns(line.substr(value.value_or(0)));
    else
      result += in_line(line);
    result += '\n';
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return result;
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
