// SPDX-License-Identifier: LGPL-2.1-or-later
// Any bytes as domain XML: each element lies where it says, and what is attached can be
// detached, and what is protected unprotected.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "attach/attach.hpp"
#include "attach/clone.hpp"
#include "attach/detach.hpp"
#include "base/error.hpp"
#include "domain/device_names.hpp"
#include "domain/domain.hpp"
#include "domain/xml_document.hpp"
#include "protection/protect.hpp"

using namespace gpuward;

static void require(bool condition) {
  if (!condition) std::abort();
}

/// An element lies inside its parent, behind its elder sibling, from a '<' to a '>'.
static void check_places(const Document& document, const Element& element) {
  const auto [begin, end] = element.whole;
  require(begin < element.inside && element.inside <= end && end <= document.text.size());
  require(document.text[begin] == '<' && document.text[element.inside - 1] == '>');
  require(document.text[end - 1] == '>');
  require(element.line >= 1);
  for (const Attribute& attribute : element.attributes)
    if (attribute.name_space.empty() && attribute.name.find(':') == std::string::npos)
      require(document.value_span(element, attribute.name).has_value());
  size_t at = element.inside;
  for (const Element& child : element.children) {
    require(at <= child.whole.begin && child.whole.end < end);
    at = child.whole.end;
    check_places(document, child);
  }
}

/// A reference to an alias of ours that was there before its device: attach lets the device have
/// it, detach then refuses to remove that device.
static bool refers_to_ours(const std::string& xml) {
  const Document document = parse_document(xml);
  for (const char* const alias : {"ua-gpuward-0", "ua-gpuward-1"})
    if (!reference_to(document, alias).empty()) return true;
  return false;
}

/// Where nothing is ours, attach and detach leave no trace.
static void check_round_trip(const std::string& xml) {
  if (refers_to_ours(xml) || detach_gpus(xml) != xml) return;
  std::string attached;
  try {
    attached = attach_gpu(attach_gpu(xml, {"small"}), {"large"});
  } catch (const Error&) {
    return;  // no <devices>
  }
  const Domain domain = parse_domain(attached);
  require(domain.requests.size() == 2);
  require(domain.requests[1].profile == "large");
  require(update_instance_uuids(attached) == attached);
  require(detach_gpus(attached) == xml);
  require(detach_gpus(detach_gpus(attached, domain.requests[0].alias), domain.requests[1].alias) ==
          xml);
}

/// What libvirt would not take: of two devices at one address one gets another.
static bool shares_address(const std::string& xml) {
  const Document document = parse_document(xml);
  const Element* const devices = document.root.child("devices");
  std::set<PciAddress> seen;
  if (devices)
    for (const Element& device : devices->children) {
      const Element* const address = device.child("address");
      const auto place = address ? pci_address_of(*address) : std::nullopt;
      if (place && !seen.insert(*place).second) return true;
    }
  return false;
}

/// Where nothing is ours, protect and unprotect leave no trace, nor do both around attach and
/// detach.
static void check_protection(const std::string& xml) {
  if (refers_to_ours(xml) || detach_gpus(xml) != xml || unprotect(xml) != xml ||
      shares_address(xml))
    return;
  Protection protection{GuardPolicy{}, {true, true}, false};
  protection.policy.harden = xml.size() % 2 == 0;
  const auto any = [](const Hostdev&) { return true; };
  std::string attached, closed;
  try {
    attached = attach_gpu(xml, {"small", xml.size() % 3 == 0});
    closed = protect(attached, protection, any);
  } catch (const Error&) {
    return;  // what only its author can mend
  }
  parse_domain(closed);
  require(unprotect(closed) == attached);
  require(detach_gpus(closed) == xml);
  require(protect(closed, protection, any) == closed);
  protection.for_good = true;
  const std::string alone = protect(xml, protection, any);
  require(unprotect(alone) == xml);
}

/// Whatever comes out is XML again, or a refusal.
template <typename Change>
static void check_change(const std::string& xml, Change change) {
  std::string changed;
  try {
    changed = change(xml);
  } catch (const Error&) {
    return;
  }
  parse_domain(changed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string xml(reinterpret_cast<const char*>(data), size);
  may_have_gpu(xml);
  names_gpuward(xml);
  try {
    const Document document = parse_document(xml);
    check_places(document, document.root);
    require(!shown(read_domain(document).name).empty());
  } catch (const Error& error) {
    require(std::string_view(error.what()).find_first_of("\n\x1b") == std::string_view::npos);
    return 0;
  }
  check_change(xml, [](const std::string& text) { return attach_gpu(text, {"small"}); });
  check_change(xml, [](const std::string& text) { return update_instance_uuids(text); });
  check_change(xml, [](const std::string& text) { return detach_gpus(text); });
  check_change(xml, [](const std::string& text) { return detach_gpus(text, "ua-gpuward-0"); });
  check_change(xml, [](const std::string& text) { return replace_sources(text); });
  check_change(xml, [](const std::string& text) { return unprotect(text); });
  check_change(xml, [](const std::string& text) {
    return protect(text, {GuardPolicy{}, {true, true}, true}, [](const Hostdev&) { return true; });
  });
  check_round_trip(xml);
  check_protection(xml);
  return 0;
}
