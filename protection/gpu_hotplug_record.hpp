// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/xml_document.hpp"
#include "protection/protect_work.hpp"

namespace gpuward {

// What protect recorded of the guard against hot-plug in <gpuward:protected> (the .cpp shows it).

/// The elements of this name, "port" or "place".
std::vector<const Element*> records(const Element& record, std::string_view name);

/// Of a "port": the index of the controller; nothing where it is no number.
std::optional<unsigned> recorded_index(const Element& port);

/// Whether `record` speaks of this port: protect closed or made it.
bool is_port_recorded(const Element& record, unsigned index);

/// The places of GPUs that an earlier protect gave one; those with an invalid bus are left out.
std::vector<GuestPlace> guest_places(const Element& record);

/// A place as it is recorded.
std::string place_record(const GuestPlace& place);

/// The port that protect made for a place; null when it is gone.
const Element* made_port(const Document& document, const GuestPlace& place);

}  // namespace gpuward
