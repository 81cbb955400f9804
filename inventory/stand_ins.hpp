// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/uuid.hpp"
#include "inventory/host_record.hpp"

namespace gpuward {

/// What a record says in place of serial numbers, UUIDs, and the names of domains, owners and the
/// host: the same for the same text, in its form, and nothing of it.
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
  std::string domain(std::string_view name) { return domains_.stand_in(name); }
  /// "owner-1": of the label in a domain's metadata.
  std::string owner(std::string_view name) { return owners_.stand_in(name); }
  /// "pattern-1", "owner:pattern-1"; of one without wildcards that of the domain or owner.
  std::string pattern(std::string_view pattern);

  /// Learns the names that a message says to be some. Before in_message: another message may have
  /// them without saying so.
  void learn(std::string_view message);
  void learn_domain(std::string_view name);

  /// Of a file of the host: UUIDs in it, what follows "serial " or "owner " at the start of a line
  /// or "serial:", and names of domains that follow "domain " and a UUID, or are in quotes.
  std::string in_text(std::string_view text);
  /// Of what a program has logged: UUIDs, what follows "serial:", and all names seen so far and the
  /// host's, wherever they are a word.
  std::string in_message(std::string_view message);

  std::string with_uuids(std::string_view text);
  /// Replaces what follows "serial:", up to one of `end`.
  std::string with_serials(std::string_view text, std::string_view end);

 private:
  /// Numbers of names, in the order in which they were first seen.
  struct Names {
    std::string word;
    std::map<std::string, size_t> numbers{};  ///< by each form that messages have of a name
    size_t count = 0;
    std::string stand_in(std::string_view name);
  };

  std::string in_line(std::string_view line);
  std::map<char, std::map<std::string, std::string>> words() const;

  std::string host_name_;
  std::set<Uuid> kept_;
  Names domains_{"domain-"}, owners_{"owner-"}, patterns_{"pattern-"};
  std::map<std::string, size_t> serials_;  ///< in the order in which they were first seen
  std::map<Uuid, size_t> uuids_;
};

/// The same files, by paths without what is replaced.
std::map<std::string, RecordedFile> with_stand_ins(const HostRecord& record, StandIns& stand_ins);

/// Keeps the UUIDs of the instances that gpuward has created itself.
void keep_provisioned(const Root& root, StandIns& stand_ins);

}  // namespace gpuward
