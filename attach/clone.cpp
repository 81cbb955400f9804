// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/clone.hpp"

#include "attach/attach.hpp"
#include "attach/gpu_request.hpp"
#include "attach/hostdevs.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/xml_edit.hpp"

namespace gpuward {

/// A clone has its own UUID, but its twin's hostdevs.
static void mend_hostdev(DomainEdit& edit, const Hostdev& hostdev) {
  const Uuid wanted = instance_uuid(edit.domain.uuid, hostdev.alias);
  if (hostdev.type != Hostdev::Type::mdev || hostdev.instance == wanted) return;
  const Element& address = source_address(edit, hostdev);
  if (const auto span = edit.document.value_span(address, "uuid"))
    edit.replace(*span, to_string(wanted));
}

std::string update_instance_uuids(std::string_view xml, const IsMdev& is_mdev) {
  DomainEdit edit(xml);
  const Domain& domain = edit.domain;
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.alias.starts_with(alias_prefix) && !find_request(domain, gpu_alias(hostdev.alias)))
      throw Error(domain_title(domain.name) + ": hostdev " + hostdev.alias,
                  "not in gpuward's metadata (line " + std::to_string(hostdev.line) + ")",
                  "run: gpuward detach " + shell_word(domain.name) + " " + hostdev.alias +
                      ", then attach a GPU again");
  for (const GpuRequest& gpu : domain.requests) {
    if (!is_mdev(gpu)) continue;
    if (const Hostdev* const hostdev = find_hostdev(domain, gpu.alias))
      mend_hostdev(edit, *hostdev);
    else
      insert_mdev(edit, gpu.alias, pci_model);
  }
  return edit.result();
}

std::string replace_sources(std::string_view xml) {
  DomainEdit edit(xml);
  for (const GpuRequest& gpu : edit.domain.requests)
    if (const Hostdev* const hostdev = find_hostdev(edit.domain, gpu.alias))
      mend_hostdev(edit, *hostdev);
  return edit.result();
}

}  // namespace gpuward
