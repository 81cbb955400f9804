// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gpuward {

/// Bytes [begin, end) of a text.
struct Span {
  size_t begin = 0;
  size_t end = 0;
};

struct Attribute {
  std::string name;        ///< without prefix; declarations of namespaces are not listed
  std::string name_space;  ///< "" when it has none, as all of libvirt's own
  std::string value;       ///< entities resolved
};

/// An element, and the bytes of the text that it came from.
struct Element {
  std::string name;        ///< without prefix
  std::string name_space;  ///< URI; "" when it has none, as all of libvirt's own
  std::vector<Attribute> attributes;
  std::string text;  ///< its own text, CDATA included, that of its children left out
  std::vector<Element> children;
  int line = 0;       ///< of its '<'
  Span whole;         ///< from the '<' of the start tag to behind the '>' of the end tag
  size_t inside = 0;  ///< behind the '>' of the start tag

  const Element* child(std::string_view child_name, std::string_view child_name_space = {}) const;
  /// The value of an attribute that is in no namespace.
  std::optional<std::string_view> attribute(std::string_view attribute_name) const;
};

/// XML text, which stays the caller's, and what is in it.
struct Document {
  std::string_view text;
  Element root;

  std::string_view operator[](Span span) const {
    return text.substr(span.begin, span.end - span.begin);
  }
  /// Whether the element is one tag, <like/>; then nothing can be put inside as it is.
  bool is_one_tag(const Element& element) const { return element.inside == element.whole.end; }
  /// The name in the start tag, prefix included.
  std::string_view tag_name(const Element& element) const;
  /// Where the value of an attribute in no namespace is, without its quotes.
  std::optional<Span> value_span(const Element& element, std::string_view attribute_name) const;
};

/// Reads XML that may be hostile: no DTD, so no entities but XML's own five; nothing is ever opened
/// or fetched; bounded size, depth and number of elements; UTF-8 only. Throws Error with the line.
Document parse_document(std::string_view text);

/// What is in the XML, fit to be part of a message: no control characters, `most` bytes.
std::string shown(std::string_view text, size_t most = 200);

/// The bytes of `span` replaced by `text`; an empty span inserts.
struct Edit {
  Span span;
  std::string text;
};

/// `text` with all edits made. They must not overlap; of two insertions at one place the first
/// given comes first.
std::string apply_edits(std::string_view text, std::vector<Edit> edits);

}  // namespace gpuward
