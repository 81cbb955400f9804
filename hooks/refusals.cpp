// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/refusals.hpp"

#include "base/error.hpp"
#include "base/log.hpp"

namespace gpuward {

/// Whatever is wrong with a permit, the start stays refused for its first reason.
static std::optional<StartPermit> find_permit(const Root& root, const std::optional<Uuid>& domain,
                                              const std::string& name) {
  std::string why;
  try {
    if (auto permit = use_start_permit(root, domain, name, why)) return permit;
  } catch (const Error& error) {
    why = error.what();
  }
  if (!why.empty())
    log::warning(name + ": the permit of 'gpuward start --anyway' does not count: " + why);
  return {};
}

void Refusals::add(const std::optional<Uuid>& domain, const std::string& why) {
  if (!permit_) permit_ = find_permit(root_, domain, name_);
  if (!permit_) throw Error(why);
  permit_->refusals.push_back(why);
  const log::Field fields[] = {
      {"GPUWARD_ACTION", std::string(log::action_of(log::Message::started_anyway))}};
  log::entry(log::Severity::warning, log::Message::started_anyway,
             name_ + ": started anyway (" + permit_->reason + "): " + why, fields);
  try {
    record_started_anyway(root_, *permit_);
  } catch (const Error& error) {
    log::warning(name_ + ": the record of its start is incomplete: " + error.what());
  }
}

}  // namespace gpuward
