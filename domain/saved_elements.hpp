// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/xml_edit.hpp"

namespace gpuward {

// What is removed from a domain is kept in our metadata as it was, and where it was:
//
//   <gpuward:kept behind='uuid' before='0'>&#10;  &lt;maxMemory
//   ...&lt;/maxMemory&gt;</gpuward:kept>
//
// followed the last <uuid> of its parent (with before='1': behind the last but one). libvirt
// may add elements of a kind and sorts kinds, but leaves the order within a kind. Blanks, comments
// and text before it, up to the element that stays, are kept with it. As text and not as XML, which
// libvirt would write again, with other quotes.

/// Takes `elements`, which are children of `parent` in the order of the text, out of it. Returns
/// what keeps them, to be put into our metadata at this depth of `indent` blanks.
std::string remove_and_save(DomainEdit& edit, const Element& parent,
                            const std::vector<const Element*>& elements, const std::string& indent);

using IsAllowed = std::function<bool(const Element&)>;

/// The text of <gpuward:kept>. Throws Error when that is not XML of elements that `is_allowed`
/// alone: metadata can be written by those who may not define domains.
const std::string& saved_text(const Element& keeper, const IsAllowed& is_allowed);

/// Restores `text`, where `keeper` says that it was.
void restore_saved(DomainEdit& edit, const Element& parent, const Element& keeper,
                   const std::string& text);

/// Whether it is an element of ours of this name.
bool is_ours(const Element& element, std::string_view name);

}  // namespace gpuward
