// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/domain.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/error.hpp"
#include "base/number_set.hpp"
#include "base/text.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "domain/qemu_commandline.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

/// How errors in what is gpuward's own are taken.
enum class Reading { strict, lenient };

static Error error_at(const Element& element, std::string_view what) {
  return Error("domain XML line " + std::to_string(element.line), std::string(what));
}

static bool is_ours(std::string_view alias) {
  return alias.starts_with(alias_prefix);
}

std::string_view gpu_alias(std::string_view alias) {
  if (!is_ours(alias)) return alias;
  return alias.substr(0, alias.find('-', alias_prefix.size()));
}

std::string gpu_title(std::string_view alias) {
  const bool is_ours = alias.starts_with(alias_prefix);
  return "GPU " + std::string(is_ours ? alias.substr(alias_prefix.size()) : alias);
}

/// "" or "-0" to "-7": the GPU itself may be another function than 0.
static bool is_function_part(std::string_view text) {
  return text.empty() || (text.size() == 2 && text[0] == '-' && text[1] >= '0' && text[1] <= '7');
}

static void check_alias(const Element& element, std::string_view alias) {
  const auto number = is_ours(alias) ? alias.substr(alias_prefix.size()) : std::string_view();
  if (number.empty() || number.size() > 4 ||
      number.find_first_not_of("0123456789") != std::string_view::npos)
    throw error_at(element, "alias '" + shown(alias) + "' is not ua-gpuward-0 to -9999");
}

static void check_hostdev_alias(const Element& element, std::string_view alias) {
  const std::string_view gpu = gpu_alias(alias);
  check_alias(element, is_function_part(alias.substr(gpu.size())) ? gpu : alias);
}

bool is_profile_name(std::string_view name) {
  // In a claim "-" is the profile of a hostdev written by hand.
  return !name.empty() && name != "-" &&
         name.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
             "_.+-") == std::string_view::npos;
}

bool is_owner_name(std::string_view name) {
  constexpr size_t longest = 128;
  std::string without_at(name);
  std::erase(without_at, '@');
  return name.size() <= longest && name != "-" && is_profile_name(without_at);
}

/// A number as libvirt's virXMLPropUInt with base 0 takes it: 65, 0x41 or 0101; absent is 0.
static std::optional<uint32_t> number_of(const Element& element, std::string_view name,
                                         uint32_t limit) {
  const auto value = element.attribute(name);
  if (!value) return 0;
  std::string_view digits = *value;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits.front() == '0') {
    base = 8;
  }
  uint32_t number = 0;
  const char* const behind = digits.data() + digits.size();
  const auto [end, failure] = std::from_chars(digits.data(), behind, number, base);
  if (failure != std::errc{} || end != behind || number > limit) return {};
  return number;
}

std::optional<PciAddress> pci_address_of(const Element& element) {
  const auto domain = number_of(element, "domain", 0xffffffff);
  const auto bus = number_of(element, "bus", 0xff);
  const auto slot = number_of(element, "slot", 0x1f);
  const auto function = number_of(element, "function", 7);
  if (!domain || !bus || !slot || !function) return {};
  return PciAddress{*domain, static_cast<uint8_t>(*bus), static_cast<uint8_t>(*slot),
                    static_cast<uint8_t>(*function)};
}

/// Nothing for a hostdev of another kind (usb, scsi, a container's). What is wrong with a hostdev
/// that is not ours is libvirt's to say.
static std::optional<Hostdev> hostdev_of(const Element& element, Reading reading) {
  if (element.attribute("mode").value_or("subsystem") != "subsystem") return {};
  const auto type = element.attribute("type").value_or("");
  if (type != "mdev" && type != "pci") return {};

  Hostdev hostdev;
  hostdev.type = type == "mdev" ? Hostdev::Type::mdev : Hostdev::Type::pci;
  hostdev.model = element.attribute("model").value_or("");
  hostdev.managed = element.attribute("managed") == "yes";
  hostdev.line = element.line;
  if (const Element* const alias = element.child("alias"))
    hostdev.alias = alias->attribute("name").value_or("");
  const Element* const source = element.child("source");
  if (const Element* const address = source ? source->child("address") : nullptr) {
    if (hostdev.type == Hostdev::Type::pci) hostdev.address = pci_address_of(*address);
    if (hostdev.type == Hostdev::Type::mdev)
      hostdev.instance = parse_uuid(address->attribute("uuid").value_or(""));
  }
  if (is_ours(hostdev.alias) && reading == Reading::strict) {
    check_hostdev_alias(element, hostdev.alias);
    if (!hostdev.instance && !hostdev.address)
      throw error_at(element, "hostdev " + hostdev.alias + ": <source> has no valid " +
                                  (type == "mdev" ? "uuid" : "PCI address"));
  }
  return hostdev;
}

static std::vector<Hostdev> hostdevs_of(const Element& root, Reading reading) {
  std::vector<Hostdev> hostdevs;
  const Element* const devices = root.child("devices");
  if (!devices) return hostdevs;
  for (const Element& element : devices->children) {
    if (element.name != "hostdev" || !element.name_space.empty()) continue;
    auto hostdev = hostdev_of(element, reading);
    if (!hostdev) continue;
    for (const Hostdev& other : hostdevs)
      if (reading == Reading::strict && is_ours(other.alias) && other.alias == hostdev->alias)
        throw error_at(element, "a second hostdev with alias " + other.alias);
    hostdev->place = static_cast<size_t>(&element - devices->children.data());
    hostdevs.push_back(std::move(*hostdev));
  }
  return hostdevs;
}

/// The number of an attribute that attach wrote; nothing without it.
static std::optional<unsigned> granted_number(const Element& element, const std::string& alias,
                                              const char* name, unsigned most) {
  const auto text = element.attribute(name);
  if (!text) return {};
  const auto number = to_number<unsigned>(*text);
  if (!number || *number == 0 || *number > most)
    throw error_at(element, "gpu " + alias + ": " + name + "='" + shown(*text) +
                                "' is not a number from 1 to " + std::to_string(most));
  return number;
}

static Granted granted_of(const Element& element, const std::string& alias) {
  Granted granted{granted_number(element, alias, "memory", ~0U),
                  granted_number(element, alias, "compute", 100),
                  {}};
  const auto graphics = element.attribute("graphics");
  if (!graphics) return granted;
  if (*graphics != "yes" && *graphics != "no")
    throw error_at(element,
                   "gpu " + alias + ": graphics='" + shown(*graphics) + "' is not yes or no");
  granted.has_graphics = *graphics == "yes";
  return granted;
}

/// What is beside a request that names no profile, or one of memory. The type becomes a part of
/// a path, the device a selector.
static std::optional<SettledRequest> settled_request(const Element& element,
                                                     const std::string& alias) {
  const auto use = element.attribute("use");
  if (!use) return {};
  SettledRequest settled{use_of(*use).value_or(no_use),
                         std::string(element.attribute("type").value_or("")),
                         std::string(element.attribute("device").value_or(""))};
  if (!traits_of(settled.use).is_requestable)
    throw error_at(element, "gpu " + alias + ": use='" + shown(*use) + "' is not " +
                                list_uses(&UseTraits::is_requestable));
  const bool has_type = traits_of(settled.use).has_types;
  if (has_type != !settled.type.empty() || (has_type && !is_name(settled.type)))
    throw error_at(element, "gpu " + alias + ": type='" + shown(settled.type) +
                                "' is not a type of use='" + std::string(*use) + "'");
  // Any VF of the host is none of a size.
  const bool is_vf = !has_type && !traits_of(settled.use).is_whole_card;
  if ((is_vf || !settled.device.empty()) && (has_type || !is_id_pair(settled.device)))
    throw error_at(element, "gpu " + alias + ": device='" + shown(settled.device) +
                                "' is not a vendor:device pair of use='" +
                                (is_vf ? std::string(*use) : "whole") + "'");
  const auto of = element.attribute("of");
  if (of && *of != "profile")
    throw error_at(element, "gpu " + alias + ": of='" + shown(*of) + "' is not profile");
  settled.of_profile = of.has_value();
  settled.granted = granted_of(element, alias);
  return settled;
}

bool names_profile(const GpuRequest& gpu) {
  return !gpu.settled || gpu.settled->of_profile;
}

bool is_request_text(std::string_view text) {
  constexpr size_t longest = 200;  // a model's name in the hardware database has 100
  return !text.empty() && text.size() <= longest &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

static GpuRequest asked_gpu(const Element& element, const std::vector<GpuRequest>& before) {
  GpuRequest gpu{std::string(element.attribute("alias").value_or("")),
                 std::string(element.attribute("profile").value_or(""))};
  check_alias(element, gpu.alias);
  gpu.settled = settled_request(element, gpu.alias);
  if (names_profile(gpu) ? !is_profile_name(gpu.profile) : !is_request_text(gpu.profile))
    throw error_at(element,
                   "gpu " + gpu.alias + ": '" + shown(gpu.profile) + "' is not a profile name");
  for (const GpuRequest& other : before)
    if (other.alias == gpu.alias) throw error_at(element, "a second gpu with alias " + gpu.alias);
  return gpu;
}

static const Element* ours_of(const Element& root) {
  const Element* const metadata = root.child("metadata");
  return metadata ? metadata->child("domain", domain_namespace) : nullptr;
}

static std::string owner_of(const Element& root, Reading reading) {
  const Element* const ours = ours_of(root);
  std::string owner(ours ? ours->attribute("owner").value_or("") : "");
  if (owner.empty() || is_owner_name(owner)) return owner;
  if (reading == Reading::strict)
    throw error_at(*ours, "'" + shown(owner) + "' is not an owner: only letters, digits and " +
                              "_.+-@ are allowed");
  return {};
}

static std::vector<GpuRequest> asked_by(const Element& root, Reading reading) {
  std::vector<GpuRequest> requests;
  const Element* const ours = ours_of(root);
  if (!ours) return requests;
  for (const Element& element : ours->children) {
    if (element.name != "gpu" || element.name_space != domain_namespace) continue;
    try {
      requests.push_back(asked_gpu(element, requests));
    } catch (const Error&) {
      if (reading == Reading::strict) throw;
    }
  }
  return requests;
}

/// Of <memory> for the whole domain and of each <memnode> for one of its cells.
static std::vector<int> numa_nodes_of(const Element& root) {
  constexpr int most = 1024;  // Linux has no more (MAX_NUMNODES)
  std::string nodes;
  const Element* const numatune = root.child("numatune");
  if (!numatune) return {};
  for (const Element& element : numatune->children)
    if (element.name == "memory" || element.name == "memnode") {
      // Each is a set of its own: what one excludes another may have.
      for (const int node : numbers_of_set(element.attribute("nodeset").value_or(""), most))
        nodes += std::to_string(node) + ',';
    }
  return numbers_of_set(nodes, most);
}

/// Of each <vcpupin>; of <vcpu cpuset='...'> for the CPUs that are not pinned.
static std::vector<int> cpus_of(const Element& root) {
  constexpr int most = 8192;  // CONFIG_NR_CPUS of every distribution
  std::string cpus;
  const auto add = [&](const Element& element) {
    for (const int cpu : numbers_of_set(element.attribute("cpuset").value_or(""), most))
      cpus += std::to_string(cpu) + ',';
  };
  std::set<std::string_view> pinned;
  if (const Element* const cputune = root.child("cputune"))
    for (const Element& element : cputune->children)
      if (element.name == "vcpupin" && pinned.insert(element.attribute("vcpu").value_or("")).second)
        add(element);
  const Element* const vcpu = root.child("vcpu");
  if (vcpu && pinned.size() < to_number<size_t>(trim(vcpu->text)).value_or(1)) add(*vcpu);
  return numbers_of_set(cpus, most);
}

/// As virUUIDParse of libvirt takes it: '-' between any two bytes, or nowhere.
static std::optional<Uuid> uuid_of(std::string_view text) {
  std::string plain;
  for (const char c : trim(text)) {
    if (c != '-')
      plain += c;
    else if (plain.size() % 2 != 0)
      return {};
  }
  if (plain.size() != 32) return {};
  for (const size_t at : {20U, 16U, 12U, 8U}) plain.insert(at, "-");
  return parse_uuid(plain);
}

static Domain read(const Document& document, Reading reading) {
  const Element& root = document.root;
  if (root.name != "domain" || !root.name_space.empty())
    throw error_at(root, "<" + shown(root.name) + "> is not a <domain>");
  Domain domain;
  const Element* const name = root.child("name");
  if (!name || name->text.empty()) throw error_at(name ? *name : root, "the domain has no name");
  if (name->text.find('\n') != std::string::npos)  // as libvirt does
    throw error_at(*name, "a line break in the domain's name");
  domain.name = name->text;

  const Element* const uuid = root.child("uuid");
  if (!uuid) throw error_at(root, "the domain has no <uuid>; 'virsh define' creates one");
  const auto parsed = uuid_of(uuid->text);
  if (!parsed) throw error_at(*uuid, "<uuid> is not a UUID");
  domain.uuid = *parsed;
  domain.hostdevs = hostdevs_of(root, reading);
  domain.requests = asked_by(root, reading);
  domain.owner = owner_of(root, reading);
  domain.command_line = command_line_devices(document);
  domain.readconfig = readconfig_line(document);
  domain.numa_nodes = numa_nodes_of(root);
  domain.cpus = cpus_of(root);
  return domain;
}

Domain read_domain(const Document& document) {
  return read(document, Reading::strict);
}

Domain read_running_domain(const Document& document) {
  return read(document, Reading::lenient);
}

std::string source_of(const Hostdev& hostdev) {
  if (hostdev.instance) return to_string(*hostdev.instance);
  return hostdev.address ? to_string(*hostdev.address) : "";
}

const Hostdev* find_hostdev(const Domain& domain, std::string_view alias) {
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.alias == alias) return &hostdev;
  return nullptr;
}

Domain parse_domain(std::string_view xml) {
  return read_domain(parse_document(xml));
}

/// Looks for `part` by its letter `rare`: each '<' of a domain's XML would be a stop on the way to
/// "<hostdev", and every domain of the host is looked through.
[[gnu::hot]] static bool holds(std::string_view text, std::string_view part, char rare) {
  const size_t before = part.find(rare);
  for (size_t at = text.find(rare, before); at != std::string_view::npos;
       at = text.find(rare, at + 1))
    if (text.substr(at - before).starts_with(part)) return true;
  return false;
}

[[gnu::hot]] bool may_have_gpu(std::string_view xml) {
  return holds(xml, "<hostdev", 'h') || holds(xml, domain_namespace, 'w') ||
         (holds(xml, "<qemu:", 'q') &&
          (holds(xml, "<qemu:commandline", 'q') || holds(xml, "<qemu:override", 'q')));
}

bool names_gpuward(std::string_view xml) {
  return holds(xml, domain_namespace, 'w') || holds(xml, alias_prefix, 'w');
}

Uuid instance_uuid(const Uuid& domain, std::string_view alias) {
  return name_uuid(domain, alias);
}

}  // namespace gpuward
