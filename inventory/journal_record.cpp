// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inventory/journal_record.hpp"

#include <ctime>

#include "base/journal.hpp"
#include "base/text.hpp"

namespace gpuward {

static std::string field(const log::Entry& entry, const char* name) {
  const auto found = entry.find(name);
  return found == entry.end() ? "" : found->second;
}

/// "2026-11-30T09:07:09Z"
static std::string time_of(const log::Entry& entry) {
  const auto microseconds = to_number<uint64_t>(field(entry, "__REALTIME_TIMESTAMP")).value_or(0);
  const auto seconds = static_cast<std::time_t>(microseconds / 1'000'000);
  char text[32] = "";
  tm utc{};
  if (::gmtime_r(&seconds, &utc)) std::strftime(text, sizeof text, "%FT%TZ", &utc);
  return text;
}

std::string journal_with_stand_ins(std::string_view exported, StandIns& stand_ins) {
  const auto entries = log::exported_entries(exported);
  for (const log::Entry& entry : entries) {
    const auto [first, last] = entry.equal_range("GPUWARD_DOMAIN");
    for (auto domain = first; domain != last; ++domain) stand_ins.learn_domain(domain->second);
  }
  for (const log::Entry& entry : entries) stand_ins.learn(field(entry, "MESSAGE"));
  std::string messages;
  for (const log::Entry& entry : entries)
    messages += time_of(entry) + ' ' + field(entry, "SYSLOG_IDENTIFIER") + '[' +
                field(entry, "_PID") + "]: " + stand_ins.in_message(field(entry, "MESSAGE")) + '\n';
  return messages;
}

}  // namespace gpuward
