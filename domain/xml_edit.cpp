// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/xml_edit.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"

namespace gpuward {

const Element* DomainEdit::ours() const {
  const Element* const parent = metadata();
  return parent ? parent->child("domain", domain_namespace) : nullptr;
}

const Element& DomainEdit::devices() const {
  const Element* const found = document.root.child("devices");
  if (!found) throw Error(domain_title(domain.name), "no <devices>: not a complete definition");
  return *found;
}

const std::vector<Element>& DomainEdit::device_list() const {
  static const std::vector<Element> none;
  const Element* const found = document.root.child("devices");
  return found ? found->children : none;
}

void DomainEdit::insert_inside(const Element& element, const std::string& text,
                               const std::string& before_end_tag) {
  if (!document.is_one_tag(element)) return insert(element.inside, text);
  const size_t slash = element.inside - 2;
  replace({slash, element.inside},
          '>' + text + before_end_tag + "</" + std::string(document.tag_name(element)) + '>');
}

void DomainEdit::append(const Element& parent, const std::string& text,
                        const std::string& before_end_tag) {
  if (parent.children.empty())
    insert_inside(parent, text, before_end_tag);
  else
    insert(parent.children.back().whole.end, text);
}

void DomainEdit::remove(const Element& element) {
  const auto last = document.text.find_last_not_of(" \t\r\n", element.whole.begin - 1);
  replace({last + 1, element.whole.end}, "");
}

bool holds_only(const Document& document, const Element& parent,
                const std::vector<const Element*>& elements) {
  size_t at = parent.inside;
  for (const Element* const element : elements) {
    if (!trim(document[{at, element->whole.begin}]).empty()) return false;
    at = element->whole.end;
  }
  return trim(document[{at, document.text.rfind('<', parent.whole.end - 1)}]).empty();
}

void DomainEdit::remove_from(const Element& parent, const std::vector<const Element*>& elements,
                             bool was_one_tag) {
  if (was_one_tag && !elements.empty() && holds_only(document, parent, elements))
    return replace({parent.inside - 1, parent.whole.end}, "/>");
  for (const Element* const element : elements) remove(*element);
}

/// Behind the last attribute, or the name, of a start tag.
static size_t end_of_attributes(const Document& document, const Element& element) {
  const size_t tail = document.is_one_tag(element) ? 2 : 1;
  return document.text.find_last_not_of(" \t\r\n", element.inside - tail - 1) + 1;
}

void DomainEdit::add_attribute(const Element& element, std::string_view name,
                               std::string_view value) {
  insert(end_of_attributes(document, element),
         ' ' + std::string(name) + "='" + escaped(value) + '\'');
}

void DomainEdit::set_attribute(const Element& element, std::string_view name,
                               std::string_view value) {
  if (const auto span = document.value_span(element, name))
    replace(*span, escaped(value));
  else
    add_attribute(element, name, value);
}

void DomainEdit::remove_attribute(const Element& element, std::string_view name) {
  const auto value = document.value_span(element, name);
  if (!value) return;
  const size_t begin = document.text.rfind(name, value->begin);
  const auto last = document.text.find_last_not_of(" \t\r\n", begin - 1);
  replace({last + 1, value->end + 1}, "");
}

std::string prefix_of(const Document& document, const Element& element) {
  const std::string_view tag = document.tag_name(element);
  const auto colon = tag.find(':');
  return std::string(tag.substr(0, colon == tag.npos ? 0 : colon + 1));
}

std::string our_prefix(const DomainEdit& edit) {
  return edit.ours() ? prefix_of(edit.document, *edit.ours()) : "gpuward:";
}

/// Behind what libvirt writes before <metadata>.
static size_t place_of_metadata(const Element& root) {
  static constexpr std::array names = {"name", "uuid", "hwuuid", "genid", "title", "description"};
  size_t place = root.inside;
  for (const Element& element : root.children)
    if (std::find(names.begin(), names.end(), element.name) != names.end())
      place = std::max(place, element.whole.end);
  return place;
}

void add_to_ours(DomainEdit& edit, const std::string& text, const std::string& attributes) {
  if (const Element* const ours = edit.ours()) return edit.append(*ours, text, "\n    ");
  std::string all = "\n    <gpuward:domain xmlns:gpuward='" + std::string(domain_namespace) + "'";
  const Element* const metadata = edit.metadata();
  if (!metadata)
    all += " metadata='made'";
  else if (edit.document.is_one_tag(*metadata))
    all += " metadata='opened'";
  all += attributes + '>' + text + "\n    </gpuward:domain>";
  if (metadata)
    edit.append(*metadata, all, "\n  ");
  else
    edit.insert(place_of_metadata(edit.document.root), "\n  <metadata>" + all + "\n  </metadata>");
}

static void remove_ours(DomainEdit& edit, const Element& ours) {
  const Element& metadata = *edit.metadata();
  const auto before = ours.attribute("metadata");
  if (before == "made" && holds_only(edit.document, metadata, {&ours}))
    edit.remove(metadata);
  else
    edit.remove_from(metadata, {&ours}, before == "opened");
}

void remove_from_ours(DomainEdit& edit, const std::vector<const Element*>& children) {
  const Element* const ours = edit.ours();
  if (!ours) return;
  if (children.size() == ours->children.size()) return remove_ours(edit, *ours);
  for (const Element* const child : children) edit.remove(*child);
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '\'':
        result += "&apos;";
        break;
      case '\n':  // as they are they become blanks in an attribute
        result += "&#10;";
        break;
      case '\r':
        result += "&#13;";
        break;
      case '\t':
        result += "&#9;";
        break;
      default:
        result += c;
    }
  return result;
}

}  // namespace gpuward
