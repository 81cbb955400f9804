// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/uuid.hpp"
#include "inventory/host_record.hpp"

namespace gpuward {

/// What a record says in place of serial numbers, UUIDs, and the names of domains, owners and host:
/// the same for the same text, in its form, and nothing of it.
class StandIns {
 public:
  explicit StandIns(std::string host_name = {}) : host_name_(std::move(host_name)) {}

  /// UUIDs that say nothing of a host: those that gpuward makes of a parent, a type and a number.
  void keep(const Uuid& uuid) { kept_.insert(uuid); }

  /// "48-b0-2d-ff-ff-12-34-56" and "48b02dffff123456" alike: with as many digits, and with dashes
  /// where there are some.
  std::string serial(std::string_view text);
  /// "00000000-0000-4000-8000-000000000001"
  Uuid uuid(const Uuid& uuid);
  /// "domain-1"
  std::string domain(std::string_view name);
  /// "owner-1"
  std::string owner(std::string_view name);

  /// Of any text: UUIDs in it, what follows "serial " at the start of a line or "serial:", and
  /// names of domains that follow "domain " and a UUID, or are in quotes after "domain" or
  /// "domains", and of owners likewise.
  std::string in_text(std::string_view text);
  /// Of the journal: that, the name of the host, and the patterns of quotas and of allow.
  std::string in_journal(std::string_view text);
  /// A configuration: that, without its comments, and the same patterns.
  std::string in_config(std::string_view text);

 private:
  std::string with_uuids(std::string_view text);
  std::string in_line(std::string_view line);
  std::string in_pattern(std::string_view pattern);
  std::string in_patterns(std::string_view list);

  std::string host_name_;
  std::set<Uuid> kept_;
  std::map<std::string, size_t> serials_, domains_,
      owners_;  ///< in the order in which they were first seen
  std::map<Uuid, size_t> uuids_;
};

/// The same files, by paths without what is replaced.
std::map<std::string, RecordedFile> with_stand_ins(const HostRecord& record, StandIns& stand_ins);

/// Keeps the UUIDs of the instances that gpuward has created itself.
void keep_provisioned(const Root& root, StandIns& stand_ins);

}  // namespace gpuward
