// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/device_records.hpp"

#include <algorithm>
#include <optional>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace gpuward {

static constexpr std::string_view first_line = "gpuward-record 1";

/// Addresses move: two cards may have been recorded at one. What follows the address tells them
/// apart and is of no other use.
static std::string file_name(const RecordedDevice& device) {
  std::string address = to_string(device.address);
  const std::string identity = to_string(device.identity);
  if (identity.empty()) return address;
  return address + '~' + to_string(name_uuid(Uuid{}, identity)).substr(0, 8);
}

std::string record_file(const std::string& directory, const RecordedDevice& device) {
  return directory + '/' + file_name(device);
}

static std::optional<PciAddress> address_in(std::string_view name) {
  return parse_pci_address(name.substr(0, name.find('~')));
}

static std::string format(const DeviceRecord& record) {
  return std::string(first_line) + '\n' + format_recorded(record.device) + "domain " +
         to_string(record.domain) + ' ' + record.owner + '\n' +
         (record.label.empty() ? "" : "owner " + record.label + '\n') + "record " + record.detail +
         '\n';
}

static bool parse_line(std::string_view line, DeviceRecord& record) {
  constexpr std::string_view domain = "domain ", detail = "record ", label = "owner ";
  constexpr size_t uuid_length = 36, name_at = domain.size() + uuid_length + 1;
  if (line.starts_with(detail)) {
    record.detail = line.substr(detail.size());
    return true;
  }
  if (line.starts_with(label)) {
    record.label = line.substr(label.size());
    return !record.label.empty() && record.label.find(' ') == std::string::npos;
  }
  if (!line.starts_with(domain)) return parse_recorded_line(line, record.device);
  const auto uuid = parse_uuid(line.substr(domain.size(), uuid_length));
  if (!uuid || line.size() < name_at) return false;
  record.domain = *uuid;
  record.owner = line.substr(name_at);
  return true;
}

static bool parse(std::string_view text, DeviceRecord& record) {
  if (!text.ends_with('\n')) return false;
  const auto lines = split(text.substr(0, text.size() - 1), '\n');
  if (lines.front() != first_line) return false;
  for (size_t i = 1; i < lines.size(); ++i)
    if (!parse_line(lines[i], record)) return false;
  return record.device.address != PciAddress{};
}

/// Of 0.1.0 the owner; "" when the file is something else, as damaged or of a newer version.
static std::string only_line(std::string_view text) {
  const std::string_view line = trim(text);
  return line.find('\n') == line.npos ? std::string(line) : "";
}

std::vector<DeviceRecord> read_records(const std::string& directory) {
  std::vector<DeviceRecord> records;
  for (const std::string& name : list_directory(directory)) {
    const auto address = address_in(name);
    if (!address || name.find(".tmp") != std::string::npos) continue;
    const std::string file = directory + '/' + name;
    const auto text = read_file(file);
    if (!text) continue;
    DeviceRecord record;
    if (!parse(*text, record)) record = {{*address, {}, {}, {}}, {}, only_line(*text), {}};
    record.file = file;
    records.push_back(std::move(record));
  }
  return records;
}

bool is_at(const Root& root, const DeviceRecord& record, const PciAddress& device,
           const RecordedDevice* found) {
  const auto places = places_now(root, record.device, found);
  return std::any_of(places.begin(), places.end(),
                     [&](const Place& place) { return place.address == device; });
}

void clear_record(const Root& root, const std::string& directory, const DeviceRecord& record,
                  const PciAddress& device, const RecordedDevice& found) {
  bool is_replaced = false;
  for (const Place& place : places_now(root, record.device, &found)) {
    if (place.address == device) continue;
    const DeviceRecord other{record_device(root, place.address, place.card),
                             record.domain,
                             record.owner,
                             record.detail,
                             {},
                             record.label};
    is_replaced |= write_record(directory, other) == record.file;
  }
  if (!is_replaced) remove_file_durably(record.file);
}

/// Once for each record that is written: others are rewritten as they were read.
static void warn_if_unread(const DeviceRecord& record) {
  const RecordedDevice& device = record.device;
  if (!device.identity.unread) return;
  const std::string place = device.identity.slot ? "slot" : "PCI address";
  const std::string line =
      "device " + to_string(device.card.value_or(device.address)) +
      ": cannot read its serial number, as it is suspended and does not resume" +
      (has_own_number(device.identity) ? "" : "; recorded by its " + place) +
      "; check: journalctl -k";
  if (record.owner.empty())
    log::warning(line);
  else
    log::warning(record.owner, line);
}

std::string write_record(const std::string& directory, const DeviceRecord& record) {
  warn_if_unread(record);
  make_directory_durably(directory);
  std::string file = record_file(directory, record.device);
  write_file_durably(file, format(record));
  return file;
}

}  // namespace gpuward
