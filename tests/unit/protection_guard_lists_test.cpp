// SPDX-License-Identifier: LGPL-2.1-or-later
// What cannot read the table of guards, and so repeats it: polkit's rule, the manuals, the sample
// configuration and the journal's catalog.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "base/file.hpp"
#include "protection/guards.hpp"
#include "source_tree.hpp"

namespace gpuward {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAreArray;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAreArray;

std::string text_of(const std::string& name) {
  const auto text = read_file(in_source_tree(name), 1 << 20);
  EXPECT_TRUE(text) << name;
  return text.value_or("");
}

/// From `begin` up to `end`, without both; "" where one is missing.
std::string between(const std::string& text, std::string_view begin, std::string_view end) {
  const size_t from = text.find(begin);
  const size_t to = from == text.npos ? from : text.find(end, from + begin.size());
  return to == text.npos ? "" : text.substr(from + begin.size(), to - from - begin.size());
}

/// What the first group of the pattern matches, one after the other.
std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at)
    found.push_back((*at)[1]);
  return found;
}

std::vector<std::string> guard_names() {
  std::vector<std::string> names;
  for (const GuardRow& row : guard_table()) names.emplace_back(to_string(row.guard));
  return names;
}

TEST(GuardLists, polkits_rule_asks_for_each_permission) {
  std::vector<std::string> permissions;
  for (const GuardRow& row : guard_table())
    for (const GuardedCall& call : row.calls) permissions.emplace_back(call.permission);
  const std::string list = between(text_of("polkit/10-gpuward.rules"), "var guarded = [", "]");
  EXPECT_THAT(matches(list, "\"([^\"]*)\""), UnorderedElementsAreArray(permissions));
}

TEST(GuardLists, the_manual_of_polkits_helper_has_the_table) {
  std::vector<std::string> rows;
  for (const GuardRow& row : guard_table())
    for (const GuardedCall& call : row.calls)
      rows.push_back(std::string(call.permission) + " Ta " + std::string(call.calls) + " Ta " +
                     std::string(to_string(row.guard)));
  const std::string manual = between(text_of("docs/gpuward-polkit.8"), "Sy guard\n", ".El");
  EXPECT_THAT(matches(manual, "\\.It ([^\n]*)\n"), UnorderedElementsAreArray(rows));
}

TEST(GuardLists, the_manual_of_the_configuration_has_each_key_in_order) {
  const std::string section =
      between(text_of("docs/gpuward.conf.5"), ".Ss [guard]", ".It Ic harden");
  EXPECT_THAT(matches(section, "\\.It Ic ([^\n]*)\n"), ElementsAreArray(guard_names()));
}

TEST(GuardLists, each_other_manual_speaks_of_each_guard) {
  const std::string service = between(text_of("docs/gpuward-guard.8"), ".Sh DESCRIPTION", ".El");
  EXPECT_THAT(matches(service, "\\.It Sy ([^\n]*)\n"), UnorderedElementsAreArray(guard_names()));
  const std::string protect = between(text_of("docs/gpuward.8"), ".Sh PROTECTION", ".El");
  EXPECT_THAT(matches(protect, "\\.It Ic ([^\n]*)\n"), ElementsAreArray(guard_names()));
  const std::string json = between(text_of("docs/json.md"), "`guard` of `explain`: ", ";");
  EXPECT_THAT(matches(json, "`([^`]*)`"), ElementsAreArray(guard_names()));
}

TEST(GuardLists, the_sample_configuration_has_each_key_with_its_default) {
  const std::string section = between(text_of("config/gpuward.conf"), "#[guard]\n", "# Disks");
  EXPECT_THAT(matches(section, "#([^ ]*) = block"), ElementsAreArray(guard_names()));
}

TEST(GuardLists, the_journals_catalog_names_keys_that_exist) {
  const auto keys = matches(text_of("systemd/gpuward.catalog"), "([a-z-]+) = (?:block|warn|allow)");
  ASSERT_THAT(keys, SizeIs(testing::Ge(3)));
  for (const std::string& key : keys) EXPECT_THAT(guard_names(), Contains(key));
}

TEST(GuardLists, the_manuals_name_the_first_qemu_that_needs_the_property) {
  const std::string text(first_qemu_with_enable_migration_text);
  for (const char* name : {"docs/gpuward.conf.5", "docs/gpuward-guard.8",
                           "docs/gpuward-qemu-hook.8", "docs/gpuward.8", "docs/failure-modes.md"}) {
    const auto versions = matches(text_of(name), "(?:QEMU |QEMU before |\\.Pq )([0-9]+\\.[0-9]+)");
    EXPECT_THAT(versions, Not(SizeIs(0))) << name;
    EXPECT_THAT(versions, Each(text)) << name;
  }
  EXPECT_THAT(matches(text_of("docs/promises.md"), "QEMU before ([0-9.]+[0-9])"), Each(text));
}

TEST(GuardTable, the_first_qemu_is_the_same_as_text_and_as_number) {
  EXPECT_EQ(std::to_string(first_qemu_with_enable_migration / 1'000'000) + '.' +
                std::to_string(first_qemu_with_enable_migration / 1'000 % 1'000),
            first_qemu_with_enable_migration_text);
  EXPECT_EQ(first_qemu_with_enable_migration % 1'000, 0U);
}

}  // namespace
}  // namespace gpuward
