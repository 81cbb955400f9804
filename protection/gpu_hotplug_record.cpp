// SPDX-License-Identifier: LGPL-2.1-or-later
#include "protection/gpu_hotplug_record.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "domain/saved_elements.hpp"
#include "protection/pci_controllers.hpp"

// What protect leaves in <gpuward:protected>:
//
//   <gpuward:port index='5' hotplug='' target='made' tag='opened' controller='made'/>
//     the controller with this index was closed: its hotplug was not written ('on': it was), its
//     <target> is ours, it was one tag, or it is itself ours
//   <gpuward:place bus='5' port='made' address='empty'/>
//     the GPU on this bus had no guest address, the port is ours, it had <address type='pci'/>

namespace gpuward {

std::vector<const Element*> records(const Element& record, std::string_view name) {
  std::vector<const Element*> found;
  for (const Element& each : record.children)
    if (is_ours(each, name)) found.push_back(&each);
  return found;
}

std::optional<unsigned> recorded_index(const Element& port) {
  return to_number<unsigned>(port.attribute("index").value_or(""));
}

bool is_port_recorded(const Element& record, unsigned index) {
  const auto ports = records(record, "port");
  const auto places = guest_places(record);
  return std::any_of(ports.begin(), ports.end(),
                     [&](const Element* port) { return recorded_index(*port) == index; }) ||
         std::any_of(places.begin(), places.end(),
                     [&](const GuestPlace& place) { return place.bus == index; });
}

std::vector<GuestPlace> guest_places(const Element& record) {
  std::vector<GuestPlace> places;
  for (const Element* const place : records(record, "place"))
    if (const auto bus = to_number<unsigned>(place->attribute("bus").value_or(""));
        bus && *bus > 0 && *bus < 256)
      places.push_back(
          {*bus, place->attribute("port") == "made", place->attribute("address") == "empty"});
  return places;
}

std::string place_record(const GuestPlace& place) {
  return "place bus='" + std::to_string(place.bus) + '\'' +
         (place.with_port ? " port='made'" : "") + (place.with_empty ? " address='empty'" : "") +
         "/>";
}

const Element* made_port(const Document& document, const GuestPlace& place) {
  return place.with_port ? find_controller(document, place.bus) : nullptr;
}

}  // namespace gpuward
