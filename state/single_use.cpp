// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/single_use.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "state/paths.hpp"

namespace gpuward {

static constexpr const char* pending = "pending";
static constexpr const char* used = "used";

std::vector<DeviceRecord> single_use_marks(const Root& root) {
  return read_records(paths::single_use(root));
}

/// Of all marks, those of what is at this address now.
static std::vector<DeviceRecord> marks_of(const Root& root, std::vector<DeviceRecord> all,
                                          const PciAddress& device, const RecordedDevice& now) {
  std::erase_if(all, [&](const DeviceRecord& mark) { return !is_at(root, mark, device, &now); });
  return all;
}

std::string mark_pending(const Root& root, const PciAddress& device,
                         const std::optional<PciAddress>& card, const Uuid& domain,
                         const std::string& owner) {
  const DeviceRecord mark{record_device(root, device, card), domain, owner, pending};
  try {
    return write_record(paths::single_use(root), mark);
  } catch (const SystemError&) {
    // It may be there, only not known to be on disk; nothing is touched without it.
    ::unlink(record_file(paths::single_use(root), mark.device).c_str());
    throw;
  }
}

void withdraw_mark(const std::string& file) {
  remove_file_durably(file);
}

void mark_used(const Root& root, const PciAddress& device, const Uuid& domain,
               const std::string& owner) {
  bool is_marked = false;
  for (DeviceRecord& mark : single_use_marks(root)) {
    // A card that was pulled can be identified by nothing but what was recorded of it.
    if (mark.device.address != device || mark.domain != domain) continue;
    // A final one may be of the card that was here before.
    if (mark.detail != pending && places_now(root, mark.device).empty()) continue;
    is_marked = true;
    if (mark.detail != pending) continue;
    mark.detail = used;
    write_record(paths::single_use(root), mark);
  }
  if (!is_marked)
    write_record(paths::single_use(root), {record_device(root, device), domain, owner, used});
}

std::optional<std::string> used_by(const Root& root, const std::vector<DeviceRecord>& marks,
                                   const PciAddress& device,
                                   const std::optional<PciAddress>& card) {
  if (marks.empty()) return {};  // the rule; then no card is woken
  const auto found = marks_of(root, marks, device, record_device(root, device, card));
  return found.empty() ? std::nullopt : std::optional(found.front().owner);
}

std::optional<std::string> used_by(const Root& root, const PciAddress& device,
                                   const std::optional<PciAddress>& card) {
  return used_by(root, single_use_marks(root), device, card);
}

bool clear_used(const Root& root, const PciAddress& device) {
  const auto all = single_use_marks(root);
  if (all.empty()) return false;
  const RecordedDevice now = record_device(root, device);
  auto found = marks_of(root, all, device, now);
  // The mark of a card that is not on this host any more goes by where it was.
  for (const DeviceRecord& mark : all)
    if (mark.device.address == device && places_now(root, mark.device, &now).empty())
      found.push_back(mark);
  for (const DeviceRecord& mark : found)
    clear_record(root, paths::single_use(root), mark, device, now);
  return !found.empty();
}

std::vector<UsedDevice> used_devices(const Root& root, const std::vector<DeviceRecord>& marks) {
  std::vector<UsedDevice> devices;
  for (const DeviceRecord& mark : marks)
    for (const Place& now : places_now(root, mark.device))
      devices.push_back({now.address, mark.owner});
  return devices;
}

std::vector<DeviceRecord> marks_by_address(const Root& root) {
  std::vector<DeviceRecord> found = single_use_marks(root);
  std::erase_if(found,
                [&](const DeviceRecord& mark) { return is_distinguished(root, mark.device); });
  return found;
}

}  // namespace gpuward
