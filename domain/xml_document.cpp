// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/xml_document.hpp"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <strings.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"

namespace gpuward {

// Four times what libvirt's RPC carries in one string (REMOTE_STRING_MAX).
static constexpr size_t largest_text = 16u << 20;
// A domain with a thousand devices has some ten thousand. Each takes 200 bytes here, and four bytes
// of text are enough for one.
static constexpr size_t most_elements = 250'000;
// libxml2 2.9 compares each attribute of a tag with each other one: 60,000 of them take it 8 s,
// 16 MiB more than an hour.
static constexpr size_t most_attributes = 5'000;

const Element* Element::child(std::string_view child_name,
                              std::string_view child_name_space) const {
  for (const Element& each : children)
    if (each.name == child_name && each.name_space == child_name_space) return &each;
  return nullptr;
}

std::optional<std::string_view> Element::attribute(std::string_view attribute_name) const {
  for (const Attribute& each : attributes)
    if (each.name == attribute_name && each.name_space.empty()) return each.value;
  return {};
}

namespace {

constexpr std::string_view blanks = " \t\r\n";

/// What the callbacks of libxml2 share while one text is read.
struct Reader {
  std::string_view text;
  xmlParserCtxt* parser = nullptr;
  Element top;                 ///< its one child will be the root
  std::vector<Element*> open;  ///< from `top` to the innermost element that has not ended
  size_t elements = 0;
  std::optional<Reason> fatal;  ///< libxml2's first fatal error
  std::exception_ptr thrown;    ///< by a callback

  /// How much of the text libxml2 has read: in a callback, how far the tag at hand reaches. Right
  /// as long as nothing is converted (we take UTF-8 only) and no entity has a text of its own.
  size_t position() const {
    const long consumed = xmlByteConsumed(parser);
    if (consumed < 0 || static_cast<size_t>(consumed) > text.size())
      throw Error("domain XML", "libxml2 reported no position");
    return static_cast<size_t>(consumed);
  }
};

Reason at_line(int line, std::string_view what) {
  return {"domain XML line " + std::to_string(line), std::string(what), {}};
}

std::string text_of(const xmlChar* text) {
  return text ? std::string(reinterpret_cast<const char*>(text)) : std::string();
}

/// An undeclared prefix is part of the name, so that <x:hostdev> never is a <hostdev>.
std::string name_of(const xmlChar* name, const xmlChar* prefix, const xmlChar* uri) {
  return prefix && !uri ? text_of(prefix) + ':' + text_of(name) : text_of(name);
}

/// Runs a callback's body. libxml2 is C: nothing may be thrown through it.
template <typename Body>
void guarded(void* data, Body body) {
  auto& reader = *static_cast<Reader*>(data);
  if (reader.thrown) return;
  try {
    body(reader);
  } catch (...) {
    reader.thrown = std::current_exception();
    xmlStopParser(reader.parser);
  }
}

/// libxml2 reports '&' in the value of an attribute as a character reference, for a builder of
/// trees that reads it again (xmlParseAttValueInternal without XML_PARSE_NOENT). There is no other
/// reference in it: no entity can be declared here.
std::string value_of(const xmlChar* begin, const xmlChar* end) {
  constexpr std::string_view reference = "&#38;";
  std::string value(reinterpret_cast<const char*>(begin), static_cast<size_t>(end - begin));
  for (size_t at = value.find(reference); at != std::string::npos;
       at = value.find(reference, at + 1))
    value.replace(at, reference.size(), "&");
  return value;
}

/// Called when all attributes of a start tag have been read, but not yet its '>' or '/>'. The last
/// '<' before is the tag's own: no attribute value may hold one.
void start_element(void* data, const xmlChar* name, const xmlChar* prefix, const xmlChar* uri, int,
                   const xmlChar**, int attribute_count, int, const xmlChar** attributes) {
  guarded(data, [&](Reader& reader) {
    if (++reader.elements > most_elements)
      throw Error(at_line(reader.parser->input->line, "too many elements for a domain"));
    const size_t position = reader.position();
    Element& element = reader.open.back()->children.emplace_back();
    element.name = name_of(name, prefix, uri);
    element.name_space = text_of(uri);
    element.whole.begin = reader.text.substr(0, position).rfind('<');
    element.inside = reader.text.find('>', position);
    if (element.inside == std::string_view::npos)
      throw Error(at_line(reader.parser->input->line, "text ends inside a tag"));
    if (element.whole.begin == std::string_view::npos)
      throw Error("domain XML", "libxml2 reported no position");
    ++element.inside;
    const auto tag = reader.text.substr(element.whole.begin, position - element.whole.begin);
    element.line =
        reader.parser->input->line - static_cast<int>(std::count(tag.begin(), tag.end(), '\n'));
    element.attributes.reserve(static_cast<size_t>(attribute_count));
    for (int i = 0; i < attribute_count; ++i) {
      const xmlChar** const each =
          attributes + ptrdiff_t{5} * i;  // name, prefix, URI, value, its end
      Attribute& attribute = element.attributes.emplace_back();
      attribute.name = name_of(each[0], each[1], each[2]);
      attribute.name_space = text_of(each[2]);
      attribute.value = value_of(each[3], each[4]);
    }
    reader.open.push_back(&element);
  });
}

/// Called behind the '>' of the end tag, or of the one tag that is both.
void end_element(void* data, const xmlChar*, const xmlChar*, const xmlChar*) {
  guarded(data, [](Reader& reader) {
    reader.open.back()->whole.end = reader.position();
    reader.open.pop_back();
  });
}

void characters(void* data, const xmlChar* text, int size) {
  guarded(data, [&](Reader& reader) {
    reader.open.back()->text.append(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
  });
}

/// Called at a <!DOCTYPE, before what is declared in it is read.
void document_type(void* data, const xmlChar*, const xmlChar*, const xmlChar*) {
  guarded(data, [](Reader& reader) {
    throw Error(at_line(reader.parser->input->line, "a document type (DTD) is not supported"));
  });
}

#if LIBXML_VERSION >= 21200
using ReportedError = const xmlError;
#else
using ReportedError = xmlError;
#endif

/// Only what makes the text no XML counts; libvirt, too, takes an undeclared prefix.
void report(void* data, ReportedError* error) {
  guarded(data, [&](Reader& reader) {
    if (!error || error->level != XML_ERR_FATAL || reader.fatal) return;
    const std::string_view message = error->message ? error->message : "not XML";
    reader.fatal = at_line(error->line, shown(message.substr(0, message.find('\n'))));
  });
}

/// Of libxml2's callbacks only ours, so that it builds no tree and loads nothing.
xmlSAXHandler our_callbacks() {
  xmlSAXHandler callbacks{};
  callbacks.initialized = XML_SAX2_MAGIC;
  callbacks.internalSubset = document_type;
  callbacks.startElementNs = start_element;
  callbacks.endElementNs = end_element;
  callbacks.characters = characters;  // of CDATA, too
  callbacks.ignorableWhitespace = characters;
  callbacks.serror = report;
  return callbacks;
}

/// The value of encoding= in <?xml ...?>; nothing when it has none.
std::optional<std::string_view> declared_encoding(std::string_view text) {
  if (!text.starts_with("<?xml") || text.size() < 6 || blanks.find(text[5]) == blanks.npos)
    return {};
  const std::string_view declaration = text.substr(0, text.find("?>"));
  const auto name = declaration.find("encoding");
  if (name == std::string_view::npos) return {};
  const auto quote = declaration.find_first_of("'\"", name);
  if (quote == std::string_view::npos) return "";
  return declaration.substr(quote + 1, declaration.find(declaration[quote], quote + 1) - quote - 1);
}

/// libxml2 guesses the encoding from the first bytes and the declaration, and converts; then its
/// places would not be ours.
void refuse_unless_utf8(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (text.find('\0') != std::string_view::npos)
    throw Error("domain XML", "contains a NUL byte, not UTF-8 text");
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) throw Error("domain XML", "empty");
  if (text[first] != '<') throw Error("domain XML line 1", "does not begin with '<'");
  const auto encoding = declared_encoding(text);
  if (encoding && (encoding->size() != 5 || strncasecmp(encoding->data(), "UTF-8", 5) != 0))
    throw Error("domain XML line 1", "only UTF-8 is supported, no other encoding");
}

/// Behind what begins at `at` and is no tag: a comment, CDATA, a processing instruction; `at`
/// itself where a tag begins.
size_t end_of_no_tag(std::string_view text, size_t at) {
  static constexpr std::pair<std::string_view, std::string_view> kinds[] = {
      {"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}};
  for (const auto& [begin, end] : kinds)
    if (text.substr(at).starts_with(begin)) {
      const auto found = text.find(end, at + begin.size());
      return found == text.npos ? text.size() : found + end.size();
    }
  return at;
}

/// Whether there are more than `most`.
bool has_more(std::string_view text, char c, size_t most) {
  size_t count = 0;
  for (size_t at = text.find(c); at != text.npos && count <= most; at = text.find(c, at + 1))
    ++count;
  return count > most;
}

/// Only the '=' of attributes count: those of text and of values cost nothing.
void refuse_endless_tags(std::string_view text) {
  if (!has_more(text, '=', most_attributes)) return;  // not in the whole text: the rule
  for (size_t at = text.find('<'); at < text.size(); at = text.find('<', at)) {
    if (const size_t end = end_of_no_tag(text, at); end != at) {
      at = end;
      continue;
    }
    size_t attributes = 0;
    for (++at; at < text.size() && text[at] != '>' && text[at] != '<'; ++at) {
      if (text[at] == '=' && ++attributes > most_attributes)
        throw Error(at_line(1 + static_cast<int>(std::count(
                                    text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n')),
                            "too many attributes in one tag"));
      if (text[at] == '\'' || text[at] == '"')
        at = std::min(text.find(text[at], at + 1), text.size() - 1);
    }
  }
}

}  // namespace

Document parse_document(std::string_view text) {
  if (text.size() > largest_text) throw Error("domain XML", "larger than 16 MiB");
  refuse_unless_utf8(text);
  refuse_endless_tags(text);

  std::unique_ptr<xmlParserCtxt, decltype(&xmlFreeParserCtxt)> parser(
      xmlCreateMemoryParserCtxt(text.data(), static_cast<int>(text.size())), xmlFreeParserCtxt);
  if (!parser) throw Error("domain XML", "libxml2 cannot read it");
  Reader reader;
  reader.text = text;
  reader.parser = parser.get();
  reader.open.push_back(&reader.top);
  *parser->sax = our_callbacks();
  parser->userData = &reader;
  // Without XML_PARSE_HUGE libxml2 keeps its own limits, such as a depth of 256 elements.
  xmlCtxtUseOptions(parser.get(), XML_PARSE_NONET | XML_PARSE_IGNORE_ENC);
  xmlParseDocument(parser.get());

  if (reader.thrown) std::rethrow_exception(reader.thrown);
  if (reader.fatal) throw Error(*reader.fatal);
  if (!parser->wellFormed || reader.top.children.size() != 1 || reader.open.size() != 1)
    throw Error("domain XML", "not well-formed");
  return {text, std::move(reader.top.children.front())};
}

std::string_view Document::tag_name(const Element& element) const {
  const std::string_view tag = (*this)[{element.whole.begin + 1, element.inside}];
  return tag.substr(0, tag.find_first_of(" \t\r\n/>"));
}

/// The tag is known to be well-formed, so it is names, '=', and values in quotes.
std::optional<Span> Document::value_span(const Element& element,
                                         std::string_view attribute_name) const {
  size_t at = element.whole.begin + 1 + tag_name(element).size();
  for (;;) {
    at = text.find_first_not_of(blanks, at);
    const auto equal_sign = text.find('=', at);
    if (equal_sign >= element.inside) return {};
    const std::string_view name = trim(text.substr(at, equal_sign - at));
    const auto quote = text.find_first_of("'\"", equal_sign);
    const auto end = text.find(text[quote], quote + 1);
    if (name == attribute_name) return Span{quote + 1, end};
    at = end + 1;
  }
}

std::string shown(std::string_view text, size_t most) {
  size_t size = std::min(text.size(), most);
  while (size > 0 && size < text.size() && (text[size] & 0xc0) == 0x80)
    --size;  // no half character
  std::string result(text.substr(0, size));
  for (size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<unsigned char>(result[i]);
    if (byte < 0x20 || byte == 0x7f) result[i] = '?';
    // U+0080 to U+009F steer terminals, too; in UTF-8 they are 0xC2 and the byte itself.
    if (byte == 0xc2 && i + 1 < result.size() && static_cast<unsigned char>(result[i + 1]) < 0xa0)
      result[i] = result[i + 1] = '?';
  }
  if (size < text.size()) result += "...";
  return result;
}

std::string apply_edits(std::string_view text, std::vector<Edit> edits) {
  std::stable_sort(edits.begin(), edits.end(), [](const Edit& one, const Edit& other) {
    return std::pair(one.span.begin, one.span.end) < std::pair(other.span.begin, other.span.end);
  });
  std::string result;
  size_t done = 0;
  for (const Edit& edit : edits) {
    if (edit.span.begin < done || edit.span.end < edit.span.begin || edit.span.end > text.size())
      throw Error("domain XML", "edits overlap");
    result += text.substr(done, edit.span.begin - done);
    result += edit.text;
    done = edit.span.end;
  }
  result += text.substr(done);
  return result;
}

}  // namespace gpuward
