// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

// <gpuward:gpu>, by which a domain requests a GPU (attach.cpp shows it).

/// The request with that alias, or null.
const GpuRequest* find_request(const Domain& domain, std::string_view alias);

/// Whether detach of `wanted`, or of all where it is empty, means this one.
bool matches_alias(std::string_view alias, std::string_view wanted);

/// The elements in <gpuward:domain> that request GPU `wanted`, or all where it is empty.
std::vector<const Element*> gpus_to_detach(const Element& ours, std::string_view wanted);

/// What serves a request, as attributes of <gpuward:gpu>; "" without one.
std::vector<std::pair<const char*, std::string>> settled_attributes(const SettledRequest& settled);

/// The same as text of a start tag, " NAME='VALUE'" for each that has a value.
std::string settled_text(const std::optional<SettledRequest>& settled);

}  // namespace gpuward
