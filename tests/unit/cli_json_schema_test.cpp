// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/json_schema.hpp"

#include <gtest/gtest.h>

namespace gpuward {
namespace {

using nlohmann::json;

TEST(JsonSchema, two_is_as_it_stands) {
  const json value{{"skipped", {"a"}}, {"errors", json::array()}};
  json expected = value;
  expected["schema"] = 2;
  EXPECT_EQ(in_schema(2, "plan", value), expected);
}

TEST(JsonSchema, one_has_the_keys_of_the_first_release) {
  EXPECT_EQ(in_schema(1, "plan", {{"skipped", {"a"}}, {"errors", {"b"}}}),
            (json{{"schema", 1}, {"kept", {"a"}}, {"impossible", {"b"}}}));
  EXPECT_EQ(in_schema(1, "explain", {{"guards", {{{"remaining", {"x"}}}}}}),
            (json{{"schema", 1}, {"guards", {{{"left", {"x"}}}}}}));
}

TEST(JsonSchema, one_has_no_keys_that_came_later) {
  const json gpus{{"gpus", {{{"name", "mtty"}, {"memory", {{"total", 1}, {"given", 0}}}}}}};
  EXPECT_EQ(in_schema(1, "list", gpus), (json{{"schema", 1}, {"gpus", {{{"name", "mtty"}}}}}));
  EXPECT_TRUE(in_schema(2, "list", gpus)["gpus"][0].contains("memory"));
}

TEST(JsonSchema, one_has_the_values_of_the_first_release) {
  const json now{{"instances", {{{"state", "in-use"}}, {{"state", "quarantined"}}}}};
  const json before{{"schema", 1},
                    {"instances", {{{"state", "held"}}, {{"state", "quarantined"}}}}};
  EXPECT_EQ(in_schema(1, "list", now), before);
}

TEST(JsonSchema, one_has_the_keys_that_end_in_an_address) {
  const json now{{"used_by", "-"}, {"used_by 0000:41:00.0", "4711"}};
  const json before{{"schema", 1}, {"open_in", "-"}, {"open 0000:41:00.0", "4711"}};
  EXPECT_EQ(in_schema(1, "show", now), before);
  EXPECT_EQ(in_schema(2, "show", now)["used_by 0000:41:00.0"], "4711");
}

TEST(JsonSchema, one_has_the_states_of_the_first_release_in_the_text_of_an_instance) {
  const json now{{"instance a", "t on 0000:41:00.1, in-use by web, external"},
                 {"instance b", "t, provisioned"},
                 {"instance c", "t, external"},
                 {"instance d", "vf, quarantined by provisioned"},
                 {"instance", "t, external"}};
  const json before{{"schema", 1},
                    {"instance a", "t on 0000:41:00.1, held by web, external"},
                    {"instance b", "t, ready"},
                    {"instance c", "t, other"},
                    {"instance d", "vf, quarantined by provisioned"},
                    {"instance", "t, external"}};
  EXPECT_EQ(in_schema(1, "show", now), before);
  EXPECT_EQ(in_schema(2, "show", now)["instance b"], "t, provisioned");
}

TEST(JsonSchema, the_same_word_elsewhere_stays) {
  const json gpu{{"gpus", {{{"health", {{"errors", {{"fatal", 1}}}}}, {"domains", {"in-use"}}}}}};
  json expected = gpu;
  expected["schema"] = 1;
  EXPECT_EQ(in_schema(1, "list", gpu), expected) << "errors of a card, a domain of that name";
  EXPECT_EQ(in_schema(1, "doctor", {{"found", "released"}}),
            (json{{"schema", 1}, {"found", "released"}}));
}

}  // namespace
}  // namespace gpuward
