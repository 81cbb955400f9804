// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/gpu_selector.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "base/quote.hpp"
#include "base/text.hpp"
#include "base/uuid.hpp"
#include "config/names.hpp"
#include "config/spelling.hpp"

namespace gpuward {

static bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_id_pair(std::string_view text) {
  return text.size() == 9 && text[4] == ':' &&
         std::all_of(text.begin(), text.begin() + 4, is_hex_digit) &&
         std::all_of(text.begin() + 5, text.end(), is_hex_digit);
}

static uint16_t hex_number(std::string_view digits) {
  uint16_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
}

/// The address in virsh's name of a PCI node device: "pci_0000_41_00_0".
static std::optional<PciAddress> node_device_address(std::string_view text) {
  constexpr std::string_view start = "pci_";
  if (!text.starts_with(start)) return {};
  std::string address(text.substr(start.size()));
  std::replace(address.begin(), address.end(), '_', ':');
  if (const auto last = address.rfind(':'); last != std::string::npos) address[last] = '.';
  return parse_pci_address(lower_case(address));
}

/// A piece of an address or an ID without its other half: "8086", "10de", "00.0", "41_00_0".
static bool is_piece_of_address(std::string_view text) {
  if (text.size() == 4 && std::all_of(text.begin(), text.end(), is_hex_digit)) return true;
  return text.front() >= '0' && text.front() <= '9' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_hex_digit(c) || c == '.' || c == '_' || c == '-'; });
}

/// Whether the text names a PCI device in another program's way. As the name of a parent it would
/// match nothing, and a GPU that is switched off by it would be assigned.
static bool names_pci_device(std::string_view text) {
  return text.starts_with("pci_") || text.starts_with("PCI_") || text.starts_with("GPU-") ||
         text.starts_with("MIG-") || is_piece_of_address(text);
}

// ---- "serial=1324321000123": by a mark of the card

namespace {

using By = GpuSelector::By;

/// One kind of mark: how its text becomes what is compared, or nothing when it is no such.
struct Mark {
  std::string_view key;
  By by;
  std::string_view word;  ///< in messages
  std::optional<std::string> (*read)(std::string_view text);
  std::string_view advice;
};

/// No comma, which separates the items of a list.
std::optional<std::string> read_word(std::string_view text) {
  if (!is_printable(text) || text.size() > 128 || text.find(',') != text.npos) return {};
  return lower_case(text);
}

std::optional<std::string> read_uuid(std::string_view text) {
  if (text.starts_with("GPU-")) text.remove_prefix(4);  // as nvidia-smi prints it
  const auto uuid = parse_uuid(text);
  return uuid ? std::optional(to_string(*uuid)) : std::nullopt;
}

std::optional<std::string> read_pair(std::string_view text) {
  return is_id_pair(text) ? std::optional(lower_case(text)) : std::nullopt;
}

std::optional<std::string> read_number(std::string_view text) {
  const auto number = to_number<unsigned>(text);
  return number ? std::optional(std::to_string(*number)) : std::nullopt;
}

constexpr Mark marks[] = {
    {"serial", By::serial, "serial number", read_word,
     "expected serial=TEXT, as 'gpuward show ADDRESS' prints it"},
    {"uuid", By::uuid, "UUID", read_uuid,
     "expected uuid= and a UUID, such as uuid=GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0"},
    {"slot", By::slot, "slot", read_word, "expected slot=NAME as in /sys/bus/pci/slots"},
    {"subsystem", By::subsystem, "subsystem", read_pair,
     "expected subsystem=VENDOR:DEVICE in hexadecimal, such as subsystem=10de:145a"},
    {"iommu-group", By::iommu_group, "IOMMU group", read_number,
     "expected iommu-group=NUMBER, as 'gpuward show ADDRESS' prints it"},
};

const Mark* mark_of(By by) {
  for (const Mark& mark : marks)
    if (mark.by == by) return &mark;
  return nullptr;
}

}  // namespace

static std::optional<GpuSelector> parse_mark(std::string_view text) {
  const auto sign = text.find('=');
  for (const Mark& mark : marks) {
    if (trim(text.substr(0, sign)) != mark.key) continue;
    auto value = mark.read(trim(text.substr(sign + 1)));
    if (!value) return {};
    GpuSelector selector;
    selector.by = mark.by;
    selector.name = std::move(*value);
    return selector;
  }
  return {};
}

/// What to write instead of a text with '=', or with ':' as `expect` has it.
static std::string mark_advice(std::string_view text) {
  const size_t sign = std::min(text.find_first_of("=:"), text.size());
  const std::string_view key = trim(text.substr(0, sign));
  std::array<std::string_view, std::size(marks)> keys;
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i] = marks[i].key;
    if (key != keys[i]) continue;
    const bool is_colon = sign < text.size() && text[sign] == ':';
    return is_colon ? "write " + std::string(key) + "=" + std::string(text.substr(sign + 1))
                    : std::string(marks[i].advice);
  }
  return text.find('=') == text.npos ? std::string() : suggestion(key, keys);
}

std::string_view selector_word(By by) {
  const Mark* const mark = mark_of(by);
  return mark ? mark->word : "address";
}

// ---- "0000:41:*": a pattern of addresses

static bool is_of_pattern(char c) {
  return is_hex_digit(c) || c == ':' || c == '.' || c == '*' || c == '?';
}

/// With a colon: '*' alone is all GPUs. A PCI domain has four digits or more, so that a pattern of
/// the short address, "41:*", would match nothing.
static bool is_pattern(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == text.npos || text.find_first_of("*?") == text.npos || text.size() > 32 ||
      !std::all_of(text.begin(), text.end(), is_of_pattern))
    return false;
  const std::string_view domain = text.substr(0, colon);
  return domain.size() >= 4 || domain.find('*') != domain.npos;
}

// ---- any

std::optional<GpuSelector> parse_gpu_selector(std::string_view text) {
  GpuSelector selector;
  if (text == "*") return selector;
  if (text.find('=') != text.npos) return parse_mark(text);
  if (is_pattern(text)) {
    selector.by = By::addresses;
    selector.name = lower_case(text);
    return selector;
  }
  if (const auto address = parse_pci_address(lower_case(text))) {
    selector.by = By::address;
    selector.address = *address;
    return selector;
  }
  if (is_id_pair(text)) {
    selector.by = By::id;
    selector.vendor = hex_number(text.substr(0, 4));
    selector.device = hex_number(text.substr(5));
    return selector;
  }
  // The device of a parent that is no PCI function, as /sys/class/mdev_bus names it.
  if (!is_name(text) || text.find('+') != std::string_view::npos || names_pci_device(text))
    return {};
  selector.by = By::name;
  selector.name = text;
  return selector;
}

std::string selector_advice(std::string_view text) {
  const std::string whole = "0000:" + std::string(text);
  if (parse_pci_address(lower_case(whole)))
    return "a PCI address starts with its PCI domain: write " + whole;
  if (const auto address = node_device_address(text))
    return "virsh's name of a node device: write " + to_string(*address);
  if (text.starts_with("GPU-")) return "a UUID is selected so: uuid=" + std::string(text);
  if (text.starts_with("MIG-"))
    return "a MIG device is not selected by its UUID: write the PCI address of its GPU, which "
           "'nvidia-smi --query-gpu=uuid,pci.bus_id --format=csv' and 'gpuward list gpus' print";
  if (std::string advice = mark_advice(text); !advice.empty()) return advice;
  if (text.size() == 4 && std::all_of(text.begin(), text.end(), is_hex_digit))
    return "incomplete vendor:device: write both, as 'lspci -nn' prints them";
  return "expected a PCI address (0000:41:00.0), a pattern of addresses (0000:41:*), vendor:device "
         "(10de:2236), serial=, uuid=, slot=, subsystem= or iommu-group= with a value, the name of "
         "an mdev parent (mtty) or *";
}

std::string to_string(const GpuSelector& selector) {
  if (const Mark* const mark = mark_of(selector.by))
    return std::string(mark->key) + '=' + selector.name;
  switch (selector.by) {
    case By::address:
      return to_string(selector.address);
    case By::id: {
      char text[16];
      std::snprintf(text, sizeof text, "%04x:%04x", selector.vendor, selector.device);
      return text;
    }
    case By::name:
    case By::addresses:
      return selector.name;
    default:
      return "*";
  }
}

}  // namespace gpuward
