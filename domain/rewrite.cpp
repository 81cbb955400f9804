// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/rewrite.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/text.hpp"
#include "domain/document.hpp"
#include "domain/domain.hpp"

// What attach leaves in a domain:
//
//   <metadata>
//     <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1' metadata='made' pci-controllers='5'>
//       <gpuward:gpu alias='ua-gpuward-0' profile='small'/>
//     </gpuward:domain>
//   </metadata>
//
// and one hostdev for each gpu. The attributes of gpuward:domain tell detach what else to put back:
//   metadata='made'      <metadata> is attach's own
//   metadata='opened'    it was <metadata/>, which libvirt keeps
//   devices='opened'     it was <devices/>, which only hand-written XML has
//   pci-controllers='5'  libvirt gives a new device on q35 a new pcie-root-port, on pc a pci-bridge
//                        when all slots are taken. It numbers its controllers without gaps, so
//                        those from 5 on came later, and go with the last GPU unless another
//                        device sits on them.

namespace gpuward {

namespace {

/// The XML while it is worked on.
struct Work {
  Document document;
  Domain domain;
  std::vector<Edit> edits;

  explicit Work(std::string_view xml)
      : document(parse_document(xml)), domain(read_domain(document)) {}

  void insert(size_t at, std::string text) { edits.push_back({{at, at}, std::move(text)}); }
  std::string result() { return apply_edits(document.text, std::move(edits)); }

  const Element* metadata() const { return document.root.child("metadata"); }
  const Element* ours() const {
    const Element* const parent = metadata();
    return parent ? parent->child("domain", domain_namespace) : nullptr;
  }
  const Element& devices() const {
    const Element* const found = document.root.child("devices");
    if (!found) throw Error("domain " + domain.name + " has no <devices>: not a whole definition");
    return *found;
  }
};

const AskedGpu* asked_as(const Domain& domain, std::string_view alias) {
  for (const AskedGpu& gpu : domain.asked)
    if (gpu.alias == alias) return &gpu;
  return nullptr;
}

const Hostdev* hostdev_as(const Domain& domain, std::string_view alias) {
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.alias == alias) return &hostdev;
  return nullptr;
}

/// Any <hostdev>, also of kinds that Domain does not list.
bool is_hostdev(const Element& element) {
  return element.name == "hostdev" && element.name_space.empty();
}

std::string_view alias_of(const Element& device) {
  const Element* const alias = device.child("alias");
  return alias ? alias->attribute("name").value_or("") : "";
}

const Element* hostdev_element(const Work& work, std::string_view alias) {
  for (const Element& element : work.devices().children)
    if (is_hostdev(element) && alias_of(element) == alias) return &element;
  return nullptr;
}

std::string free_alias(const Domain& domain) {
  for (int number = 0; number <= 9999; ++number) {
    std::string alias(alias_prefix);
    alias += std::to_string(number);
    if (!asked_as(domain, alias) && !hostdev_as(domain, alias)) return alias;
  }
  throw Error("domain " + domain.name + " has no alias left for another GPU");
}

/// Puts `text` into an element that has no place of its own for it: right behind the start tag, or
/// between the two tags that <like/> is made into.
void insert_inside(Work& work, const Element& element, const std::string& text,
                   const std::string& before_end_tag) {
  if (!work.document.is_one_tag(element)) return work.insert(element.inside, text);
  const size_t slash = element.inside - 2;
  work.edits.push_back(
      {{slash, element.inside},
       '>' + text + before_end_tag + "</" + std::string(work.document.tag_name(element)) + '>'});
}

/// libvirt writes devices of these kinds before hostdevs (virDomainDefFormat), all others behind.
/// Where it is in hand-written XML does not matter to libvirt.
bool comes_before_hostdevs(const Element& device) {
  static constexpr std::array names = {
      "emulator",  "disk",     "controller", "lease",   "filesystem", "interface",
      "smartcard", "serial",   "parallel",   "console", "channel",    "input",
      "tpm",       "graphics", "sound",      "audio",   "video",      "hostdev"};
  return std::find(names.begin(), names.end(), device.name) != names.end();
}

/// display and ramfb are not written: libvirt puts in what its QEMU needs.
std::string hostdev_text(const Domain& domain, const std::string& alias) {
  return "\n    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>"
         "\n      <source>"
         "\n        <address uuid='" +
         to_string(instance_uuid(domain.uuid, alias)) +
         "'/>"
         "\n      </source>"
         "\n      <alias name='" +
         alias +
         "'/>"
         "\n    </hostdev>";
}

/// New text always follows an element's end or start tag at once, so that detach knows: blanks
/// before what is ours are ours.
void insert_hostdev(Work& work, const std::string& alias) {
  const Element& devices = work.devices();
  const Element* before = nullptr;
  for (const Element& device : devices.children)
    if (is_hostdev(device) || (comes_before_hostdevs(device) && !(before && is_hostdev(*before))))
      before = &device;
  const std::string text = hostdev_text(work.domain, alias);
  if (before)
    work.insert(before->whole.end, text);
  else
    insert_inside(work, devices, text, "\n  ");
}

std::optional<unsigned> pci_controller_index(const Element& device) {
  if (device.name != "controller" || device.attribute("type") != "pci") return {};
  return to_number<unsigned>(device.attribute("index").value_or(""));
}

/// How many numbers of PCI controllers are taken; nothing where libvirt has not yet filled them in.
std::optional<unsigned> pci_controllers(const Element& devices) {
  std::optional<unsigned> count;
  for (const Element& device : devices.children) {
    const auto index = pci_controller_index(device);
    if (index && *index < 256) count = std::max(count.value_or(0), *index + 1);
  }
  return count;
}

std::string gpu_text(const std::string& prefix, const std::string& alias,
                     const std::string& profile) {
  return "\n      <" + prefix + "gpu alias='" + alias + "' profile='" + profile + "'/>";
}

std::string first_metadata_text(const Work& work, const std::string& alias,
                                const std::string& profile) {
  std::string text = "\n    <gpuward:domain xmlns:gpuward='" + std::string(domain_namespace) + "'";
  if (!work.metadata())
    text += " metadata='made'";
  else if (work.document.is_one_tag(*work.metadata()))
    text += " metadata='opened'";
  if (work.document.is_one_tag(work.devices())) text += " devices='opened'";
  if (const auto count = pci_controllers(work.devices()))
    text += " pci-controllers='" + std::to_string(*count) + "'";
  return text + '>' + gpu_text("gpuward:", alias, profile) + "\n    </gpuward:domain>";
}

/// Behind what libvirt writes before <metadata>.
size_t place_of_metadata(const Element& root) {
  static constexpr std::array names = {"name", "uuid", "hwuuid", "genid", "title", "description"};
  size_t place = root.inside;
  for (const Element& element : root.children)
    if (std::find(names.begin(), names.end(), element.name) != names.end())
      place = std::max(place, element.whole.end);
  return place;
}

void insert_asked(Work& work, const std::string& alias, const std::string& profile) {
  if (const Element* const ours = work.ours()) {
    const std::string_view tag = work.document.tag_name(*ours);  // libvirt keeps anyone's prefix
    const std::string prefix(tag.substr(0, tag.find(':') == tag.npos ? 0 : tag.find(':') + 1));
    const std::string text = gpu_text(prefix, alias, profile);
    if (ours->children.empty())
      insert_inside(work, *ours, text, "\n    ");
    else
      work.insert(ours->children.back().whole.end, text);
    return;
  }
  const std::string text = first_metadata_text(work, alias, profile);
  const Element* const metadata = work.metadata();
  if (!metadata)
    work.insert(place_of_metadata(work.document.root), "\n  <metadata>" + text + "\n  </metadata>");
  else if (metadata->children.empty())
    insert_inside(work, *metadata, text, "\n  ");
  else
    work.insert(metadata->children.back().whole.end, text);
}

/// The element with the blanks before it.
Span with_blanks(const Work& work, const Element& element) {
  const auto last = work.document.text.find_last_not_of(" \t\r\n", element.whole.begin - 1);
  return {last + 1, element.whole.end};
}

void remove(Work& work, const Element& element) {
  work.edits.push_back({with_blanks(work, element), ""});
}

/// Whether `parent` holds nothing but `elements`, which are in the order of the text, and blanks.
bool holds_only(const Document& document, const Element& parent,
                const std::vector<const Element*>& elements) {
  size_t at = parent.inside;
  for (const Element* const element : elements) {
    if (!trim(document[{at, element->whole.begin}]).empty()) return false;
    at = element->whole.end;
  }
  return trim(document[{at, document.text.rfind('<', parent.whole.end - 1)}]).empty();
}

/// Takes `elements` out of `parent`; when it was one tag before attach, and holds no more than
/// these, it is one tag again.
void remove_from(Work& work, const Element& parent, const std::vector<const Element*>& elements,
                 bool was_one_tag) {
  if (was_one_tag && !elements.empty() && holds_only(work.document, parent, elements))
    return work.edits.push_back({{parent.inside - 1, parent.whole.end}, "/>"});
  for (const Element* const element : elements) remove(work, *element);
}

void remove_ours(Work& work, const Element& ours) {
  const Element& metadata = *work.metadata();
  const auto before = ours.attribute("metadata");
  if (before == "made" && holds_only(work.document, metadata, {&ours}))
    remove(work, metadata);
  else
    remove_from(work, metadata, {&ours}, before == "opened");
}

/// Whether a device other than those in `going` has its guest address on this PCI bus.
bool is_bus_used(const Element& devices, unsigned bus, const std::vector<const Element*>& going) {
  return std::any_of(devices.children.begin(), devices.children.end(), [&](const Element& device) {
    const Element* const address = device.child("address");
    if (!address || address->attribute("type") != "pci") return false;
    if (std::find(going.begin(), going.end(), &device) != going.end()) return false;
    const auto place = pci_address_of(*address);
    return !place || place->bus == bus;
  });
}

/// Adds the PCI controllers that came after attach and are of no use without the devices in
/// `going`. From the last one down: libvirt would fill a gap between two.
void add_controllers_to(std::vector<const Element*>& going, const Element& devices,
                        unsigned before_attach) {
  std::vector<std::pair<unsigned, const Element*>> later;
  for (const Element& device : devices.children) {
    const auto index = pci_controller_index(device);
    if (index && *index >= std::max(before_attach, 1u)) later.push_back({*index, &device});
  }
  std::sort(later.rbegin(), later.rend());
  for (const auto& [index, controller] : later) {
    if (is_bus_used(devices, index, going)) return;
    going.push_back(controller);
  }
}

/// Whether detach of `wanted`, or of all where it is empty, means this one.
bool is_meant(std::string_view alias, std::string_view wanted) {
  return alias.starts_with(alias_prefix) && (wanted.empty() || alias == wanted);
}

std::vector<const Element*> gpus_to_detach(const Element& ours, std::string_view wanted) {
  std::vector<const Element*> gpus;
  for (const Element& element : ours.children)
    if (element.name == "gpu" && element.name_space == domain_namespace &&
        is_meant(element.attribute("alias").value_or(""), wanted))
      gpus.push_back(&element);
  return gpus;
}

std::vector<const Element*> hostdevs_to_detach(const Element& devices, std::string_view wanted) {
  std::vector<const Element*> hostdevs;
  for (const Element& element : devices.children)
    if (is_hostdev(element) && is_meant(alias_of(element), wanted)) hostdevs.push_back(&element);
  return hostdevs;
}

}  // namespace

std::string attach_gpu(std::string_view xml, const GpuToAttach& gpu) {
  if (!is_profile_name(gpu.profile))
    throw Error("'" + shown(gpu.profile) + "' is no profile name: only letters, digits and _.+-");
  Work work(xml);
  const std::string alias = free_alias(work.domain);
  insert_asked(work, alias, gpu.profile);
  insert_hostdev(work, alias);
  return work.result();
}

/// A clone has its own UUID, but its twin's hostdevs.
static void mend_hostdev(Work& work, const Hostdev& hostdev) {
  const Uuid wanted = instance_uuid(work.domain.uuid, hostdev.alias);
  if (hostdev.type != Hostdev::Type::mdev || hostdev.instance == wanted) return;
  const Element* const element = hostdev_element(work, hostdev.alias);
  const Element& address = *element->child("source")->child("address");
  if (const auto span = work.document.value_span(address, "uuid"))
    work.edits.push_back({*span, to_string(wanted)});
}

std::string mend_gpus(std::string_view xml) {
  Work work(xml);
  const Domain& domain = work.domain;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.alias.starts_with(alias_prefix) && !asked_as(domain, hostdev.alias))
      throw Error("domain " + domain.name + ": hostdev " + hostdev.alias + " (line " +
                  std::to_string(hostdev.line) + ") is not in gpuward's metadata; detach " +
                  hostdev.alias + " and attach a GPU anew");
  for (const AskedGpu& gpu : domain.asked) {
    if (const Hostdev* const hostdev = hostdev_as(domain, gpu.alias))
      mend_hostdev(work, *hostdev);
    else
      insert_hostdev(work, gpu.alias);
  }
  return work.result();
}

std::string detach_gpus(std::string_view xml, std::string_view alias) {
  Work work(xml);
  const Element* const ours = work.ours();
  const Element* const devices = work.document.root.child("devices");
  std::vector<const Element*> gpus, going;
  if (ours) gpus = gpus_to_detach(*ours, alias);
  if (devices) going = hostdevs_to_detach(*devices, alias);
  if (!alias.empty() && gpus.empty() && going.empty())
    throw Error("domain " + work.domain.name + " has no GPU " + shown(alias));

  const bool are_all = gpus.size() == work.domain.asked.size();
  if (ours && are_all) {
    remove_ours(work, *ours);
    const auto count = to_number<unsigned>(ours->attribute("pci-controllers").value_or(""));
    if (count && devices) add_controllers_to(going, *devices, *count);
  } else {
    for (const Element* const gpu : gpus) remove(work, *gpu);
  }
  if (devices) remove_from(work, *devices, going, ours && ours->attribute("devices") == "opened");
  return work.result();
}

}  // namespace gpuward
