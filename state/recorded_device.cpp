// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state/recorded_device.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/uuid.hpp"
#include "pci/pci_device.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

// ---- what is recorded

/// The number of a VF: of one that is there by its PF's links, else by where it will be.
static std::optional<unsigned> number_of(const Root& root, const PciAddress& pf,
                                         const PciAddress& vf) {
  const auto vfs = virtual_functions(root, pf);
  const auto found = std::find(vfs.begin(), vfs.end(), vf);
  if (found != vfs.end()) return static_cast<unsigned>(found - vfs.begin());
  const unsigned most = total_vfs(root, pf);
  for (unsigned number = 0; number < most; ++number)
    if (virtual_function_address(root, pf, number) == vf) return number;
  return {};
}

/// What a driver refuses to tell is unknown, as what it does not have.
static Identity identity_at(const Root& root, const PciAddress& address, Sleepers sleepers) try {
  return find_identity(root, address, sleepers);
} catch (const SystemError&) {
  return {};
}

RecordedDevice record_device(const Root& root, const PciAddress& address,
                             const std::optional<PciAddress>& card) {
  RecordedDevice recorded{address, {}, {}, {}};
  const auto device = find_pci_device(root, address);
  recorded.card = device ? device->physical_function : card;
  if (recorded.card == address) recorded.card.reset();
  if (recorded.card) recorded.number = number_of(root, *recorded.card, address);
  recorded.identity = identity_at(root, recorded.card.value_or(address), Sleepers::wake);
  return recorded;
}

// ---- which it is

/// lspci(8) writes PCIe's own number with dashes, amdgpu's have none. A card bound to another
/// driver has only PCIe's, so that one kind says nothing of the other.
static std::vector<std::string> serials_of(const Identity& identity, bool of_pcie) {
  std::vector<std::string> serials;
  for (const std::string& serial : identity.serials)
    if ((serial.find('-') != std::string::npos) == of_pcie) serials.push_back(serial);
  std::sort(serials.begin(), serials.end());
  return serials;
}

/// Two cards on one board may share one number and differ in another.
static SameDevice same_serials(const Identity& one, const Identity& other, bool of_pcie) {
  const auto ones = serials_of(one, of_pcie), others = serials_of(other, of_pcie);
  if (ones.empty() || others.empty()) return SameDevice::unknown;
  const bool fits = std::includes(ones.begin(), ones.end(), others.begin(), others.end()) ||
                    std::includes(others.begin(), others.end(), ones.begin(), ones.end());
  return fits ? SameDevice::yes : SameDevice::no;
}

static SameDevice same_text(const std::optional<std::string>& one,
                            const std::optional<std::string>& other) {
  if (!one || !other) return SameDevice::unknown;
  return one == other ? SameDevice::yes : SameDevice::no;
}

SameDevice is_same_card(const Identity& one, const Identity& other) {
  const SameDevice exact[] = {same_text(one.uuid, other.uuid), same_serials(one, other, false),
                              same_serials(one, other, true)};
  const SameDevice model = same_text(one.subsystem, other.subsystem);
  if (model == SameDevice::no || std::count(exact, std::end(exact), SameDevice::no) > 0)
    return SameDevice::no;
  if (std::count(exact, std::end(exact), SameDevice::yes) > 0) return SameDevice::yes;
  return model == SameDevice::yes ? same_text(one.slot, other.slot) : SameDevice::unknown;
}

bool is_distinguished(const RecordedDevice& device) {
  return device.identity.uuid || !device.identity.serials.empty();
}

bool is_recorded(const RecordedDevice& recorded, const RecordedDevice& found) {
  const bool is_vf = recorded.card.has_value();
  const PciAddress at = recorded.card.value_or(recorded.address);
  const PciAddress card = found.card.value_or(found.address);
  switch (is_same_card(recorded.identity, found.identity)) {
    case SameDevice::no:
      return false;
    case SameDevice::unknown:
      // A record of an older version says of no VF whose it is.
      return found.address == recorded.address ||
             (is_vf && found.card == recorded.card && found.number == recorded.number);
    case SameDevice::yes:
      break;
  }
  if (card.function != at.function || is_vf != found.card.has_value()) return false;
  return recorded.number && found.number ? recorded.number == found.number
                                         : !is_vf || found.address == recorded.address;
}

// ---- where it is

static SameDevice same_at(const Root& root, const PciAddress& address, const Identity& identity) {
  const auto device = find_pci_device(root, address);
  if (!device || device->physical_function) return SameDevice::unknown;
  return is_same_card(identity, identity_at(root, address, Sleepers::leave));
}

static std::vector<PciAddress> cards_now(const Root& root, const PciAddress& at,
                                         const Identity& identity) {
  const SameDevice here = same_at(root, at, identity);
  if (here == SameDevice::yes) return {at};
  std::vector<PciAddress> cards;
  const bool can_be_found = identity.uuid || !identity.serials.empty() || identity.slot;
  if (!can_be_found && here == SameDevice::unknown) return {at};
  for (const PciAddress& address : pci_addresses(root))
    if (address != at && address.function == at.function &&
        same_at(root, address, identity) == SameDevice::yes)
      cards.push_back(address);
  if (cards.empty() && here == SameDevice::unknown) return {at};
  return cards;
}

/// Nothing when its PF does not say where it is.
static std::optional<PciAddress> vf_now(const Root& root, const PciAddress& pf, unsigned number) {
  const auto vfs = virtual_functions(root, pf);
  return number < vfs.size() ? vfs[number] : virtual_function_address(root, pf, number);
}

std::vector<Place> places_now(const Root& root, const RecordedDevice& recorded) {
  std::vector<Place> places;
  if (!recorded.card) {
    for (const PciAddress& card : cards_now(root, recorded.address, recorded.identity))
      places.push_back({card, {}});
    return places;
  }
  for (const PciAddress& card : cards_now(root, *recorded.card, recorded.identity)) {
    const auto vf = recorded.number ? vf_now(root, card, *recorded.number) : std::nullopt;
    if (vf)
      places.push_back({*vf, card});
    else if (card == *recorded.card)
      places.push_back({recorded.address, card});
  }
  return places;
}

// ---- text

std::string format_recorded(const RecordedDevice& device) {
  std::string text = "device " + to_string(device.address) + '\n';
  if (device.card) text += "card " + to_string(*device.card) + '\n';
  if (device.number) text += "vf " + std::to_string(*device.number) + '\n';
  for (const std::string& serial : device.identity.serials) text += "serial " + serial + '\n';
  if (device.identity.uuid) text += "uuid " + *device.identity.uuid + '\n';
  if (device.identity.subsystem) text += "subsystem " + *device.identity.subsystem + '\n';
  if (device.identity.slot) text += "slot " + *device.identity.slot + '\n';
  return text;
}

bool parse_recorded_line(std::string_view line, RecordedDevice& device) {
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return false;
  const std::string_view key = line.substr(0, blank);
  const std::string value(line.substr(blank + 1));
  if (key == "device" || key == "card") {
    const auto address = parse_pci_address(value);
    if (address && key == "device") device.address = *address;
    if (address && key == "card") device.card = address;
    return address.has_value();
  }
  if (key == "vf") return (device.number = to_number<unsigned>(value)).has_value();
  if (key == "serial") device.identity.serials.push_back(value);
  if (key == "uuid") device.identity.uuid = value;
  if (key == "subsystem") device.identity.subsystem = value;
  if (key == "slot") device.identity.slot = value;
  return key == "serial" || key == "uuid" || key == "subsystem" || key == "slot";
}

}  // namespace gpuward
