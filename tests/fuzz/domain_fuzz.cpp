// SPDX-License-Identifier: LGPL-2.1-or-later
// Any bytes as domain XML: each element lies where it says, and what is attached can be detached.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "domain/document.hpp"
#include "domain/domain.hpp"
#include "domain/rewrite.hpp"

using namespace gpuward;

static void require(bool condition) {
  if (!condition) std::abort();
}

/// An element lies inside its parent, behind its elder sibling, from a '<' to a '>'.
static void check_places(const Document& document, const Element& element) {
  const auto [begin, end] = element.whole;
  require(begin < element.inside && element.inside <= end && end <= document.text.size());
  require(document.text[begin] == '<' && document.text[element.inside - 1] == '>');
  require(document.text[end - 1] == '>');
  require(element.line >= 1);
  for (const Attribute& attribute : element.attributes)
    if (attribute.name_space.empty() && attribute.name.find(':') == std::string::npos)
      require(document.value_span(element, attribute.name).has_value());
  size_t at = element.inside;
  for (const Element& child : element.children) {
    require(at <= child.whole.begin && child.whole.end < end);
    at = child.whole.end;
    check_places(document, child);
  }
}

/// Where nothing is ours, attach and detach leave no trace.
static void check_round_trip(const std::string& xml) {
  if (detach_gpus(xml) != xml) return;
  std::string attached;
  try {
    attached = attach_gpu(attach_gpu(xml, {"small"}), {"large"});
  } catch (const Error&) {
    return;  // no <devices>
  }
  const Domain domain = parse_domain(attached);
  require(domain.asked.size() == 2);
  require(domain.asked[1].profile == "large");
  require(mend_gpus(attached) == attached);
  require(detach_gpus(attached) == xml);
  require(detach_gpus(detach_gpus(attached, domain.asked[0].alias), domain.asked[1].alias) == xml);
}

/// Whatever comes out is XML again, or a refusal.
template <typename Change>
static void check_change(const std::string& xml, Change change) {
  std::string changed;
  try {
    changed = change(xml);
  } catch (const Error&) {
    return;
  }
  parse_domain(changed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string xml(reinterpret_cast<const char*>(data), size);
  may_have_gpu(xml);
  names_gpuward(xml);
  try {
    const Document document = parse_document(xml);
    check_places(document, document.root);
    require(!shown(read_domain(document).name).empty());
  } catch (const Error& error) {
    require(std::string_view(error.what()).find_first_of("\n\x1b") == std::string_view::npos);
    return 0;
  }
  check_change(xml, [](const std::string& text) { return attach_gpu(text, {"small"}); });
  check_change(xml, [](const std::string& text) { return mend_gpus(text); });
  check_change(xml, [](const std::string& text) { return detach_gpus(text); });
  check_change(xml, [](const std::string& text) { return detach_gpus(text, "ua-gpuward-0"); });
  check_round_trip(xml);
  return 0;
}
