// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/unparsed_xml.hpp"

#include <algorithm>
#include <optional>

#include "base/error.hpp"
#include "base/file.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_hostdevs.hpp"

namespace gpuward {

static constexpr std::string_view blanks = " \t\r\n";

/// The value of an attribute in the text of one start tag.
static std::optional<std::string_view> attribute_in(std::string_view tag, std::string_view name) {
  for (size_t at = tag.find(name); at != tag.npos; at = tag.find(name, at + 1)) {
    if (at == 0 || blanks.find(tag[at - 1]) == blanks.npos) continue;
    const size_t equal = tag.find_first_not_of(blanks, at + name.size());
    if (equal == tag.npos || tag[equal] != '=') continue;
    const size_t quote = tag.find_first_not_of(blanks, equal + 1);
    if (quote == tag.npos || (tag[quote] != '\'' && tag[quote] != '"')) continue;
    const size_t end = tag.find(tag[quote], quote + 1);
    if (end == tag.npos) continue;
    return tag.substr(quote + 1, end - quote - 1);
  }
  return {};
}

/// From one "<NAME" to the '>' behind it; nothing where that is cut off.
static std::string_view tag_in(std::string_view text, std::string_view start) {
  const size_t begin = text.find(start);
  if (begin == text.npos) return {};
  const size_t end = text.find('>', begin);
  return end == text.npos ? std::string_view() : text.substr(begin, end + 1 - begin);
}

/// By the parser, from the one tag that is left of the XML.
static std::optional<PciAddress> source_address(std::string_view hostdev) {
  const size_t source = hostdev.find("<source");
  if (source == hostdev.npos) return {};
  const std::string_view tag = tag_in(hostdev.substr(source), "<address");
  if (tag.empty() || !attribute_in(tag, "bus") || !attribute_in(tag, "slot")) return {};
  std::string whole(tag);
  if (!whole.ends_with("/>")) whole.insert(whole.size() - 1, "/");
  try {
    const Document document = parse_document(whole);
    return pci_address_of(document.root);
  } catch (const Error&) {
    return {};
  }
}

static bool is_gpu_at(const Root& root, const Config& config, const PciAddress& address) {
  Hostdev hostdev;
  hostdev.type = Hostdev::Type::pci;
  hostdev.address = address;
  return is_gpu(root, config, hostdev);
}

/// The function itself, any other of its card, and its PF.
static bool is_of_gpu(const Root& root, const Config& config, const PciAddress& address) {
  PciAddress function = address;
  for (uint8_t number = 0; number < 8; ++number) {
    function.function = number;
    if (is_gpu_at(root, config, function)) return true;
  }
  const auto physical = read_link(root.sys("bus/pci/devices/") + to_string(address) + "/physfn");
  const auto pf = physical ? parse_pci_address(base_name(*physical)) : std::nullopt;
  return pf && is_gpu_at(root, config, *pf);
}

/// Of the text from one "<hostdev" to the next or to its end tag.
static std::string why_gpu(const Root& root, const Config& config, std::string_view hostdev) {
  const auto type = attribute_in(hostdev.substr(0, hostdev.find('>')), "type");
  if (!type) return "a <hostdev> whose type cannot be read";
  if (*type == "mdev") return "a <hostdev> that is an mdev";
  if (*type != "pci") return {};
  const auto address = source_address(hostdev);
  if (!address) return "a <hostdev> whose PCI address cannot be read";
  return is_of_gpu(root, config, *address) ? "the GPU " + to_string(*address) : "";
}

/// The text from each "<hostdev" to the next or to its end tag.
static std::vector<std::string_view> hostdev_texts(std::string_view xml) {
  static constexpr std::string_view start = "<hostdev";
  std::vector<std::string_view> texts;
  for (size_t at = xml.find(start); at != xml.npos;) {
    const size_t next = xml.find(start, at + start.size());
    const std::string_view text = xml.substr(at, next == xml.npos ? next : next - at);
    texts.push_back(text.substr(0, text.find("</hostdev")));
    at = next;
  }
  return texts;
}

std::string gpu_in_text(const Root& root, const Config& config, std::string_view xml) {
  for (const std::string_view hostdev : hostdev_texts(xml))
    if (std::string why = why_gpu(root, config, hostdev); !why.empty()) return why;
  return {};
}

std::optional<Reason> unparsed_refusal(const Root& root, const Config& config, std::string_view xml,
                                       bool names_gpuward, const Reason& error) {
  if (names_gpuward) return error;
  const std::string gpu = gpu_in_text(root, config, xml);
  if (gpu.empty()) return {};
  return Reason{"domain XML with " + gpu, "cannot parse: " + without_remedy(error), error.remedy};
}

/// Of an mdev.
static std::optional<Uuid> source_uuid(std::string_view hostdev) {
  const size_t source = hostdev.find("<source");
  if (source == hostdev.npos) return {};
  const auto uuid = attribute_in(tag_in(hostdev.substr(source), "<address"), "uuid");
  return uuid ? parse_uuid(*uuid) : std::nullopt;
}

std::optional<std::vector<Hostdev>> hostdevs_in_text(std::string_view xml) {
  std::vector<Hostdev> hostdevs;
  for (const std::string_view text : hostdev_texts(xml)) {
    const std::string_view tag = tag_in(text, "<hostdev");
    const auto type = attribute_in(tag, "type");
    if (!type) return {};
    if (*type != "mdev" && *type != "pci") continue;
    Hostdev hostdev;
    hostdev.type = *type == "mdev" ? Hostdev::Type::mdev : Hostdev::Type::pci;
    if (hostdev.type == Hostdev::Type::mdev) {
      hostdev.model = attribute_in(tag, "model").value_or("vfio-pci");
      hostdev.instance = source_uuid(text);
    } else {
      hostdev.address = source_address(text);
    }
    if (!hostdev.instance && !hostdev.address) return {};
    hostdevs.push_back(std::move(hostdev));
  }
  return hostdevs;
}

}  // namespace gpuward
