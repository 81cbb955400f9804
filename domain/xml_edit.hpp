// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "domain/domain.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

/// A domain's XML while it is changed. New text always follows an element's end or start tag at
/// once, so that code that removes it again knows: blanks before what is ours are ours.
class DomainEdit {
 public:
  explicit DomainEdit(std::string_view xml)
      : document(parse_document(xml)), domain(read_domain(document)) {}

  const Document document;
  const Domain domain;

  std::string result() { return apply_edits(document.text, std::move(edits_)); }

  const Element* metadata() const { return document.root.child("metadata"); }
  const Element* ours() const;                      ///< <gpuward:domain>
  const Element& devices() const;                   ///< throws Error when there are none
  const std::vector<Element>& device_list() const;  ///< empty when there are none

  void insert(size_t at, std::string text) { edits_.push_back({{at, at}, std::move(text)}); }
  void replace(Span span, std::string text) { edits_.push_back({span, std::move(text)}); }
  /// Into an element that has no place of its own for it: right behind the start tag, or between
  /// the two tags that <like/> is made into.
  void insert_inside(const Element& element, const std::string& text,
                     const std::string& before_end_tag);
  /// Behind the last child, or inside.
  void append(const Element& parent, const std::string& text, const std::string& before_end_tag);
  /// The element with the blanks before it.
  void remove(const Element& element);
  /// Takes `elements`, in the order of the text, out of `parent`; when it was one tag before, and
  /// holds no more than these, it is one tag again.
  void remove_from(const Element& parent, const std::vector<const Element*>& elements,
                   bool was_one_tag);

  void add_attribute(const Element& element, std::string_view name, std::string_view value);
  void set_attribute(const Element& element, std::string_view name, std::string_view value);
  void remove_attribute(const Element& element, std::string_view name);

 private:
  std::vector<Edit> edits_;
};

/// Whether `parent` holds nothing but `elements`, which are in the order of the text, and blanks.
bool holds_only(const Document& document, const Element& parent,
                const std::vector<const Element*>& elements);

/// "prefix:" of an element's tag, "" when it has none.
std::string prefix_of(const Document& document, const Element& element);

/// The prefix that our elements have or are going to have: libvirt keeps anyone's.
std::string our_prefix(const DomainEdit& edit);

/// Puts `text` into <gpuward:domain>, which is made, with these attributes, where there is none.
void add_to_ours(DomainEdit& edit, const std::string& text, const std::string& attributes = "");

/// Removes children of <gpuward:domain>, and with the last of them itself.
void remove_from_ours(DomainEdit& edit, const std::vector<const Element*>& children);

/// As it must be in XML text or between single quotes, so that any XML reader gives it back byte
/// by byte.
std::string escaped(std::string_view text);

}  // namespace gpuward
