// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/saved_elements.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace gpuward {

namespace {

bool holds(const std::vector<const Element*>& elements, const Element& element) {
  return std::find(elements.begin(), elements.end(), &element) != elements.end();
}

/// Elements that follow each other, and the one before them, which stays.
struct Run {
  const Element* before = nullptr;
  const Element* last = nullptr;
};

std::vector<Run> runs_of(const Element& parent, const std::vector<const Element*>& elements) {
  std::vector<Run> runs;
  const Element* before = nullptr;
  bool is_open = false;
  for (const Element& child : parent.children) {
    if (!holds(elements, child)) {
      before = &child;
      is_open = false;
      continue;
    }
    if (!is_open) runs.push_back({before, nullptr});
    runs.back().last = &child;
    is_open = true;
  }
  return runs;
}

/// How many of its name stay behind it.
size_t number_from_end(const Element& parent, const Element& element,
                       const std::vector<const Element*>& going) {
  size_t number = 0;
  for (auto child = parent.children.rbegin(); &*child != &element; ++child)
    if (child->name == element.name && !holds(going, *child)) ++number;
  return number;
}

const Element* find_from_end(const Element& parent, std::string_view name, size_t number) {
  const Element* first = nullptr;
  for (auto child = parent.children.rbegin(); child != parent.children.rend(); ++child) {
    if (child->name != name) continue;
    first = &*child;
    if (number-- == 0) break;
  }
  return first;
}

}  // namespace

std::string remove_and_save(DomainEdit& edit, const Element& parent,
                            const std::vector<const Element*>& elements,
                            const std::string& indent) {
  std::string all;
  for (const Run& run : runs_of(parent, elements)) {
    const Span span{run.before ? run.before->whole.end : parent.inside, run.last->whole.end};
    const std::string tag = our_prefix(edit) + "kept";
    all += '\n' + indent + '<' + tag;
    if (run.before)
      all += " behind='" + escaped(run.before->name) + "' before='" +
             std::to_string(number_from_end(parent, *run.before, elements)) + '\'';
    all += '>' + escaped(edit.document[span]) + "</" + tag + '>';
    edit.replace(span, "");
  }
  return all;
}

const std::string& saved_text(const Element& keeper, const IsAllowed& is_allowed) {
  const std::string whole = "<kept>" + keeper.text + "</kept>";
  const auto is_fine = [&] {
    try {
      const Document document = parse_document(whole);
      return std::all_of(document.root.children.begin(), document.root.children.end(), is_allowed);
    } catch (const Error&) {
      return false;
    }
  };
  if (!is_fine())
    throw Error("domain XML line " + std::to_string(keeper.line),
                "saved element in gpuward metadata was modified", "remove it with: virsh edit");
  return keeper.text;
}

void restore_saved(DomainEdit& edit, const Element& parent, const Element& keeper,
                   const std::string& text) {
  const auto behind = keeper.attribute("behind");
  if (!behind) return edit.insert_inside(parent, text, "");
  const auto number = to_number<size_t>(keeper.attribute("before").value_or("")).value_or(0);
  if (const Element* const before = find_from_end(parent, *behind, number))
    edit.insert(before->whole.end, text);
  else
    edit.append(parent, text, "\n  ");
}

bool is_ours(const Element& element, std::string_view name) {
  return element.name == name && element.name_space == domain_namespace;
}

}  // namespace gpuward
