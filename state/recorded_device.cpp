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

/// What a driver refuses to tell is unknown.
static Identity identity_at(const Root& root, const PciAddress& address, Sleepers sleepers) try {
  return find_identity(root, address, sleepers);
} catch (const SystemError&) {
  Identity unknown;
  unknown.unread = true;
  return unknown;
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

/// By what no other card has.
static SameDevice same_numbers(const Identity& one, const Identity& other) {
  const SameDevice each[] = {same_text(one.uuid, other.uuid), same_serials(one, other, false),
                             same_serials(one, other, true)};
  if (std::count(each, std::end(each), SameDevice::no) > 0) return SameDevice::no;
  return std::count(each, std::end(each), SameDevice::yes) > 0 ? SameDevice::yes
                                                               : SameDevice::unknown;
}

SameDevice is_same_card(const Identity& one, const Identity& other) {
  const SameDevice numbers = same_numbers(one, other);
  const SameDevice model = same_text(one.subsystem, other.subsystem);
  if (model == SameDevice::no || numbers == SameDevice::no) return SameDevice::no;
  if (numbers == SameDevice::yes) return SameDevice::yes;
  return model == SameDevice::yes ? same_text(one.slot, other.slot) : SameDevice::unknown;
}

// ---- where it is

namespace {

/// A card of this host beside the recorded one.
struct Candidate {
  PciAddress address;
  Identity identity;
  SameDevice same = SameDevice::unknown;
  bool is_there = false;    ///< a card, and no VF
  bool is_resumed = false;  ///< reading it once more tells no more
};

/// One record, and what its caller has read of one card.
struct Search {
  const Root& root;
  const RecordedDevice& recorded;
  const RecordedDevice* found;
};

}  // namespace

static PciAddress card_of(const RecordedDevice& device) {
  return device.card.value_or(device.address);
}

static Candidate look_at(const Search& search, const PciAddress& address, Sleepers sleepers) {
  const auto device = find_pci_device(search.root, address);
  if (!device || device->physical_function) return {address, {}, SameDevice::unknown};
  const bool is_read = search.found && card_of(*search.found) == address;
  Identity identity =
      is_read ? search.found->identity : identity_at(search.root, address, sleepers);
  const SameDevice same = is_same_card(search.recorded.identity, identity);
  return {address, std::move(identity), same, true, is_read || sleepers == Sleepers::wake};
}

bool has_own_number(const Identity& identity) {
  return identity.uuid || !identity.serials.empty();
}

/// Whether nothing but a number that could not be read speaks against it: a card that was moved has
/// another slot.
static bool may_be(const Search& search, const Candidate& card) {
  const Identity& recorded = search.recorded.identity;
  return card.is_there && card.identity.unread && has_own_number(recorded) &&
         same_text(recorded.subsystem, card.identity.subsystem) != SameDevice::no;
}

/// All others that are the recorded card or may be.
static std::vector<Candidate> other_cards(const Search& search, const PciAddress& at) {
  std::vector<Candidate> cards;
  for (const PciAddress& address : pci_addresses(search.root)) {
    if (address == at || address.function != at.function) continue;
    Candidate card = look_at(search, address, Sleepers::leave);
    if (card.same == SameDevice::yes || may_be(search, card)) cards.push_back(std::move(card));
  }
  return cards;
}

/// Cards with one and the same number, as boards with a fixed one or with two GPUs have: the one in
/// the recorded slot, or else at the recorded address; all where neither is there.
static std::vector<PciAddress> by_place(const std::vector<Candidate>& cards, const PciAddress& at,
                                        const Identity& recorded) {
  std::vector<PciAddress> all, in_slot;
  for (const Candidate& card : cards) {
    if (card.same != SameDevice::yes) continue;
    all.push_back(card.address);
    if (same_text(recorded.slot, card.identity.slot) == SameDevice::yes)
      in_slot.push_back(card.address);
  }
  if (!in_slot.empty()) return in_slot;
  return std::count(all.begin(), all.end(), at) > 0 ? std::vector{at} : all;
}

static bool any_is_same(const std::vector<Candidate>& cards) {
  return std::any_of(cards.begin(), cards.end(),
                     [](const Candidate& card) { return card.same == SameDevice::yes; });
}

/// Reads again, with the cards resumed, what could not be read of those that may be the recorded.
static void resume_unread(const Search& search, std::vector<Candidate>& cards) {
  for (Candidate& card : cards)
    if (may_be(search, card) && !card.is_resumed)
      card = look_at(search, card.address, Sleepers::wake);
}

/// What is at the recorded address. The same slot, or nothing against it, does not tell that the
/// card is the recorded one, which may have been moved: where only its number tells, it is resumed.
static Candidate look_here(const Search& search, const PciAddress& at) {
  Candidate here = look_at(search, at, Sleepers::leave);
  const bool is_open = may_be(search, here) &&
                       same_numbers(search.recorded.identity, here.identity) == SameDevice::unknown;
  return is_open && !here.is_resumed ? look_at(search, at, Sleepers::wake) : here;
}

/// The recorded card, where it is one that has moved, or more than one has its number. What cannot
/// be read even now may be it: at its place, or where no other is.
static std::vector<PciAddress> find_card(const Search& search, std::vector<Candidate> cards,
                                         const PciAddress& at) {
  resume_unread(search, cards);
  std::vector<PciAddress> found = by_place(cards, at, search.recorded.identity);
  const bool is_known = !found.empty();
  for (const Candidate& card : cards)
    if (may_be(search, card) && card.same != SameDevice::yes && (!is_known || card.address == at))
      found.push_back(card.address);
  return found;
}

static std::vector<PciAddress> cards_now(const Search& search, const PciAddress& at) {
  const Identity& recorded = search.recorded.identity;
  const Candidate here = look_here(search, at);
  if (here.same == SameDevice::yes &&
      same_text(recorded.slot, here.identity.slot) != SameDevice::no)
    return {at};
  const bool is_here_or_unknown = here.same == SameDevice::unknown;
  if (!has_own_number(recorded) && !recorded.slot)
    return is_here_or_unknown ? std::vector{at} : std::vector<PciAddress>();
  std::vector<Candidate> cards = other_cards(search, at);
  if (here.is_there && is_here_or_unknown && !any_is_same(cards)) return {at};
  cards.push_back(here);
  std::vector<PciAddress> found = find_card(search, std::move(cards), at);
  if (found.empty() && is_here_or_unknown) return {at};
  return found;
}

bool is_distinguished(const Root& root, const RecordedDevice& device) {
  if (!has_own_number(device.identity)) return false;
  const Search search{root, device, nullptr};
  const PciAddress at = card_of(device);
  std::vector<Candidate> cards = other_cards(search, at);
  cards.push_back(look_at(search, at, Sleepers::leave));
  resume_unread(search, cards);
  return std::count_if(cards.begin(), cards.end(),
                       [](const Candidate& card) { return card.same == SameDevice::yes; }) < 2;
}

/// Nothing when its PF does not say where it is.
static std::optional<PciAddress> vf_now(const Root& root, const PciAddress& pf, unsigned number) {
  const auto vfs = virtual_functions(root, pf);
  return number < vfs.size() ? vfs[number] : virtual_function_address(root, pf, number);
}

std::vector<Place> places_now(const Root& root, const RecordedDevice& recorded,
                              const RecordedDevice* found) {
  std::vector<Place> places;
  const std::vector<PciAddress> cards = cards_now({root, recorded, found}, card_of(recorded));
  if (!recorded.card) {
    for (const PciAddress& card : cards) places.push_back({card, {}});
    return places;
  }
  for (const PciAddress& card : cards) {
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
