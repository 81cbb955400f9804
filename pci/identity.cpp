// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/identity.hpp"

#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/joined.hpp"
#include "base/kernel_read.hpp"
#include "base/retried.hpp"
#include "base/text.hpp"
#include "base/uuid.hpp"
#include "config/gpu_settings.hpp"
#include "pci/config_space.hpp"
#include "pci/health.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

// ---- what sits there

/// The serial number of PCIe, 0 when the card has none; nothing when the card does not answer.
static std::optional<uint64_t> serial_number(int config) {
  if (config_register(config, first_extended_capability) == no_answer) return {};
  constexpr unsigned device_serial_number = 3;
  const auto offset = find_extended_capability(config, device_serial_number);
  if (!offset) return 0;
  const auto low = config_register(config, *offset + 4),
             high = config_register(config, *offset + 8);
  return low && high ? uint64_t{*high} << 32 | *low : 0;
}

/// The same in a child: its bytes, or none.
static size_t read_serial_number(int config, char* to, size_t size) {
  const auto serial = serial_number(config);
  if (!serial || size < sizeof *serial) return 0;
  std::memcpy(to, &*serial, sizeof *serial);
  return sizeof *serial;
}

/// How long a card may take to resume: from D3cold, PCIe gives it a second (PCIe, Conventional
/// Reset), and its driver needs its own time.
static constexpr std::chrono::seconds resume_wait{3};

/// Throws SystemError: a card whose number cannot be read is not one without.
static std::optional<uint64_t> serial_number_of_awake(const std::string& path) {
  const Fd config(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW); }));
  char byte = 0;
  if (!config || retried([&] { return ::pread(config.get(), &byte, 1, 0); }) < 0) {
    if (!is_absence(errno)) throw SystemError("cannot read " + path, errno);
    return 0;
  }
  return serial_number(config.get());
}

/// The kernel resumes a card in D3cold, and the port above one in D3hot, before it reads their
/// configuration space, and sets no deadline for either (pci_config_pm_runtime_get,
/// drivers/pci/pci.c). Nothing when it is not read.
std::optional<uint64_t> pcie_serial_number(const Root& root, const PciAddress& address,
                                           Sleepers sleepers) {
  const std::string path = pci_path(root, address) + "/config";
  if (!exists(path)) return 0;
  if (is_awake(root, address)) return serial_number_of_awake(path);
  if (sleepers == Sleepers::leave && !is_readable_asleep(root, address)) return {};
  const auto bytes = read_in_child(path, read_serial_number, resume_wait);
  uint64_t serial = 0;
  if (!bytes || bytes->size() != sizeof serial) return {};
  std::memcpy(&serial, bytes->data(), sizeof serial);
  return serial;
}

std::string serial_text(uint64_t serial) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    char byte[4];
    std::snprintf(byte, sizeof byte, "%02x", static_cast<unsigned>(serial >> shift & 0xff));
    text += (text.empty() ? "" : "-") + std::string(byte);
  }
  return text;
}

/// amdgpu has both, of which a card may have neither: "" or all zeros.
static void add_serial(std::vector<std::string>& serials, const std::optional<std::string>& text) {
  if (text && text->find_first_not_of('0') != std::string::npos) serials.push_back(*text);
}

/// "GPU UUID: GPU-4dea22b3-..."; "GPU-" and question marks while the driver has not started the
/// card.
static void read_nvidia_uuid(const Root& root, const PciAddress& address, Identity& identity) {
  const auto text =
      read_attribute(root.proc("driver/nvidia/gpus/") + to_string(address) + "/information");
  if (!text) return;
  for (const std::string_view line : split(*text, '\n')) {
    if (!line.starts_with("GPU UUID:")) continue;
    std::string_view word = trim(line.substr(line.find(':') + 1));
    if (word.starts_with("GPU-")) word.remove_prefix(4);
    if (const auto uuid = parse_uuid(word)) identity.uuid = to_string(*uuid);
  }
  identity.is_unstarted = !identity.uuid;
}

static std::optional<std::string> subsystem_of(const std::string& path) {
  const auto vendor = read_attribute(path + "/subsystem_vendor");
  const auto device = read_attribute(path + "/subsystem_device");
  if (!vendor || !device) return {};
  char text[24];
  std::snprintf(text, sizeof text, "%04x:%04x", hex_number(*vendor), hex_number(*device));
  return text;
}

/// The address of a slot is that of its device, without a function: "0000:41:00".
static std::optional<std::string> slot_of(const Root& root, const PciAddress& address) {
  std::string device = to_string(address);
  device.resize(device.rfind('.'));
  const std::string slots = root.sys("bus/pci/slots");
  for (std::string& name : list_directory(slots))
    if (read_attribute(slots + '/' + name + "/address") == device) return std::move(name);
  return {};
}

static void read_serials(const Root& root, const PciAddress& address, Sleepers sleepers,
                         Identity& identity) {
  const std::string path = pci_path(root, address);
  const auto number = read_attribute(path + "/serial_number");
  const auto unique = read_attribute(path + "/unique_id");
  add_serial(identity.serials, number);
  add_serial(identity.serials, unique);
  constexpr uint16_t amd = 0x1002;
  const auto driver = read_link(path + "/driver");
  const bool is_amd = hex_number(read_attribute(path + "/vendor").value_or("")) == amd;
  identity.lacks_driver_serial =
      is_amd && !number && !unique && !(driver && base_name(*driver) == "amdgpu");
  const auto serial = pcie_serial_number(root, address, sleepers);
  identity.unread = !serial;
  if (serial && *serial != 0) identity.serials.push_back(serial_text(*serial));
}

Identity find_identity(const Root& root, const PciAddress& address, Sleepers sleepers,
                       const IdentityParts& parts) {
  Identity identity;
  if (parts.serial) read_serials(root, address, sleepers, identity);
  if (parts.uuid) read_nvidia_uuid(root, address, identity);
  if (parts.subsystem) identity.subsystem = subsystem_of(pci_path(root, address));
  if (parts.slot) identity.slot = slot_of(root, address);
  return identity;
}

// ---- is it what was expected

static void add_word(std::string& text, std::string_view kind, const std::string& value) {
  if (!text.empty()) text += ", ";
  text += kind;
  text += ':';
  text += value;
}

std::string to_string(const Identity& identity) {
  std::string text;
  for (const std::string& serial : identity.serials) add_word(text, "serial", serial);
  if (identity.uuid) add_word(text, "uuid", *identity.uuid);
  if (identity.subsystem) add_word(text, "subsystem", *identity.subsystem);
  if (identity.slot) add_word(text, "slot", *identity.slot);
  return text;
}

static std::string to_string(const ExpectedIdentity& expected) {
  std::string text;
  if (expected.serial) add_word(text, "serial", *expected.serial);
  if (expected.uuid) add_word(text, "uuid", *expected.uuid);
  if (expected.subsystem) add_word(text, "subsystem", *expected.subsystem);
  if (expected.slot) add_word(text, "slot", *expected.slot);
  return text;
}

/// Serial numbers are hexadecimal digits, which the driver and lspci write in either case.
static bool has_serial(const Identity& found, const std::string& serial) {
  return std::any_of(found.serials.begin(), found.serials.end(), [&](const std::string& other) {
    return ::strcasecmp(other.c_str(), serial.c_str()) == 0;
  });
}

/// What of the expected does not fit, as words of `expect`.
static std::vector<std::string> unreadable(const ExpectedIdentity& expected,
                                           const Identity& found) {
  std::vector<std::string> words;
  if (expected.serial && found.serials.empty()) words.push_back("serial");
  if (expected.uuid && !found.uuid) words.push_back("uuid");
  if (expected.subsystem && !found.subsystem) words.push_back("subsystem");
  if (expected.slot && !found.slot) words.push_back("slot");
  return words;
}

static bool fits(const ExpectedIdentity& expected, const Identity& found) {
  return (!expected.serial || has_serial(found, *expected.serial)) &&
         (!expected.uuid || found.uuid == expected.uuid) &&
         (!expected.subsystem || found.subsystem == expected.subsystem) &&
         (!expected.slot || found.slot == expected.slot);
}

Verdict identity_verdict(const GpuSection& section, const Identity& found) {
  if (fits(section.expect, found)) return Verdict::allow();
  const std::string present = to_string(found);
  std::string text =
      to_string(section.position) + " expects " + to_string(section.expect) + ", found " +
      (present.empty() ? std::string("a card without a readable identity") : present);
  const std::string missing = joined(unreadable(section.expect, found));
  if (!missing.empty())
    text += " (" + missing +
            " cannot be read: a UUID needs NVIDIA's driver, a serial number root and a card that "
            "is not in D3cold)";
  return Verdict::deny({"not the expected GPU", text, "reinstall that card or update 'expect'"});
}

static bool expects_something(const ExpectedIdentity& expected) {
  return expected.serial || expected.uuid || expected.subsystem || expected.slot;
}

/// A VF has the device ID of its card, as NVIDIA's and Intel's do, and no serial number: all but a
/// section that names the VF expect something of the card.
static bool names(const GpuSelector& selector, const Parent& device) {
  return (selector.by == GpuSelector::By::address || selector.by == GpuSelector::By::name) &&
         selects_itself(selector, device);
}

Verdict check_identity(const Root& root, const Config& config, const Parent& device) {
  if (Reason unclear = settings_of(config, device).unclear; !unclear.problem.empty())
    return Verdict::deny(std::move(unclear));
  std::optional<Identity> of_itself, of_card;
  for (const GpuSection& section : config.gpus) {
    if (!expects_something(section.expect) || !device.address || !selects(section.selector, device))
      continue;
    const bool is_card = device.physical_function && !names(section.selector, device);
    auto& found = is_card ? of_card : of_itself;
    if (!found) found = find_identity(root, is_card ? *device.physical_function : *device.address);
    if (Verdict verdict = identity_verdict(section, *found); !verdict)
      return Verdict::deny(about("device " + device.name, std::move(verdict.reason)));
  }
  return Verdict::allow();
}

}  // namespace gpuward
