// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/attach.hpp"

#include "attach/console.hpp"
#include "attach/gpu_request.hpp"
#include "attach/hostdevs.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/device_names.hpp"
#include "domain/guest_pci.hpp"
#include "domain/xml_edit.hpp"

// What attach leaves in a domain:
//
//   <metadata>
//     <gpuward:domain xmlns:gpuward='urn:gpuward:domain:1' metadata='made' pci-controllers='5'>
//       <gpuward:gpu alias='ua-gpuward-0' profile='small'/>
//       <gpuward:gpu alias='ua-gpuward-1' profile='Tesla M60' use='whole' device='10de:13f2'/>
//     </gpuward:domain>
//   </metadata>
//
// and one hostdev for each gpu; <gpuward:console> and <gpuward:protected> are told of in
// console.cpp and protect.cpp. A gpu with use='...' is of a request that names no profile: profile
// is its text, the attributes after it what serves it; with of='profile' it is of a profile that
// requests memory; of both memory='4096' (MiB), compute='25' (percent) and graphics='yes' say what
// it has as far as that is known. A gpu with console='off' keeps the console out. The attributes of
// gpuward:domain tell detach what else to put back:
//   metadata='made'      <metadata> is attach's own
//   metadata='opened'    it was <metadata/>, which libvirt keeps
//   devices='opened'     it was <devices/>, which only hand-written XML has
//   pci-controllers='5'  libvirt gives a new device on q35 a new pcie-root-port, on pc a pci-bridge
//                        when all slots are taken. It numbers its controllers without gaps, so
//                        those from 5 on came later, and go with the last GPU unless another
//                        device sits on them.
//   single-ports='0000:00:01.0'
//                        libvirt may put the new root port into the slot of another one, which then
//                        gets multifunction='on'; these had no such attribute, and lose it again.
//   owner='team-a'       whose GPUs these are, for quotas; removed with the last GPU.

namespace gpuward {

namespace {

std::string free_alias(const Domain& domain) {
  for (int number = 0; number <= 9999; ++number) {
    std::string alias(alias_prefix);
    alias += std::to_string(number);
    if (!find_request(domain, alias) && !find_hostdev(domain, alias)) return alias;
  }
  throw Error(domain_title(domain.name), "no alias available for another GPU");
}

/// What detach of the last GPU needs to know, as attributes of <gpuward:domain>.
std::vector<std::pair<std::string, std::string>> before_first_gpu(const DomainEdit& edit) {
  std::vector<std::pair<std::string, std::string>> attributes;
  if (edit.document.is_one_tag(edit.devices())) attributes.push_back({"devices", "opened"});
  attributes.push_back(
      {"pci-controllers", std::to_string(next_pci_controller(edit.devices().children))});
  std::string ports;
  for (const PciAddress& port : single_ports(edit.devices().children))
    ports += (ports.empty() ? "" : " ") + to_string(port);
  if (!ports.empty()) attributes.push_back({"single-ports", ports});
  return attributes;
}

void insert_asked(DomainEdit& edit, const std::string& alias, const GpuToAttach& gpu) {
  const std::string text = "\n      <" + our_prefix(edit) + "gpu alias='" + alias + "' profile='" +
                           escaped(gpu.profile) + '\'' + settled_text(gpu.settled) +
                           (gpu.console ? "" : " console='off'") + "/>";
  std::string attributes;
  if (edit.domain.requests.empty())
    for (const auto& [name, value] : before_first_gpu(edit)) {
      if (edit.ours())
        edit.set_attribute(*edit.ours(), name, value);
      else
        attributes += ' ' + name + "='" + value + '\'';
    }
  add_to_ours(edit, text, attributes);
}

void require_pci(const DomainEdit& edit) {
  const auto machine = machine_without_pci(edit.document);
  if (!machine.empty())
    throw Error(
        domain_title(edit.domain.name),
        "machine type '" + shown(machine) + "' has no PCI bus for a GPU",
        "set another machine type, such as q35: virsh edit " + shell_word(edit.domain.name));
}

}  // namespace

std::string attach_gpu(std::string_view xml, const GpuToAttach& gpu) {
  const bool is_profile = names_profile({{}, gpu.profile, gpu.settled});
  if (is_profile ? !is_profile_name(gpu.profile) : !is_request_text(gpu.profile))
    throw Error("'" + shown(gpu.profile) + "'",
                "not a profile name: only letters, digits and _.+- are allowed");
  DomainEdit edit(xml);
  require_pci(edit);
  if (!gpu.console) take_console_out(xml);  // an error names a line of the XML as its author has it
  const std::string alias = free_alias(edit.domain);
  insert_asked(edit, alias, gpu);
  if (is_mediated(gpu.use))
    insert_mdev(edit, alias, gpu.model);
  else
    insert_functions(edit, alias, gpu.managed, gpu.functions);
  const std::string with_gpu = edit.result();
  std::string result = gpu.console ? with_gpu : take_console_out(with_gpu);
  require_same_devices(xml, result);
  return result;
}

std::string set_owner(std::string_view xml, const std::string& owner) {
  if (!is_owner_name(owner))
    throw Error("'" + shown(owner) + "'",
                "not an owner: only letters, digits and _.+-@ are allowed");
  DomainEdit edit(xml);
  if (!edit.ours() || edit.domain.requests.empty())
    throw Error(
        domain_title(edit.domain.name), "requests no GPU",
        "run: gpuward attach " + shell_word(edit.domain.name) + " REQUEST --owner " + owner);
  edit.set_attribute(*edit.ours(), "owner", owner);
  return edit.result();
}

}  // namespace gpuward
