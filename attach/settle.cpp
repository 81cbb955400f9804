// SPDX-License-Identifier: LGPL-2.1-or-later
#include "attach/settle.hpp"

#include "attach/gpu_request.hpp"
#include "attach/hostdevs.hpp"
#include "base/error.hpp"
#include "base/quote.hpp"
#include "domain/xml_edit.hpp"

namespace gpuward {

/// The element of our metadata that requests GPU `alias`, or null.
static const Element* request_element(const DomainEdit& edit, std::string_view alias) {
  const Element* const ours = edit.ours();
  const auto gpus = ours ? gpus_to_detach(*ours, alias) : std::vector<const Element*>{};
  return gpus.empty() ? nullptr : gpus.front();
}

static void set_or_remove(DomainEdit& edit, const Element& element, const char* name,
                          const std::string& value) {
  if (!value.empty())
    edit.set_attribute(element, name, value);
  else if (element.attribute(name))
    edit.remove_attribute(element, name);
}

std::string settle_request(std::string_view xml, std::string_view alias,
                           const SettledRequest& settled, const std::string& model) {
  DomainEdit edit(xml);
  const std::string name(alias);
  const Element* const request = request_element(edit, alias);
  if (!request) throw Error(domain_title(edit.domain.name), "no GPU with alias " + shown(name));
  for (const auto& [attribute, value] : settled_attributes(settled))
    set_or_remove(edit, *request, attribute, value);
  const Hostdev* const hostdev = find_hostdev(edit.domain, alias);
  const bool has_mdev = hostdev && hostdev->type == Hostdev::Type::mdev;
  // managed is of the kind: assign_device writes new hostdevs where there are none.
  const bool is_kept_so = !hostdev || has_mdev || hostdev->managed == is_managed(settled.use);
  if (has_mdev == is_mediated(settled.use) && is_kept_so) return edit.result();
  if (const auto removal = hostdevs_to_detach(edit.devices(), name); !removal.empty())
    edit.remove_from(edit.devices(), removal, false);
  std::string without = edit.result();
  if (is_pci(settled.use)) return without;
  DomainEdit next(without);
  insert_mdev(next, name, model);
  return next.result();
}

}  // namespace gpuward
