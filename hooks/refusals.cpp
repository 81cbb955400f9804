// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks/refusals.hpp"

#include "base/log.hpp"
#include "base/quote.hpp"

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
    log::warning(domain_title(name) + ": permit of gpuward start --anyway not accepted: " + why);
  return {};
}

void Refusals::add(const std::optional<Uuid>& domain, const Reason& why) {
  if (!permit_) permit_ = find_permit(root_, domain, name_);
  if (!permit_) throw Error(why);
  permit_->refusals.push_back(to_string(why));
  const log::Field fields[] = {
      {"GPUWARD_ACTION", std::string(log::action_of(log::Message::started_anyway))}};
  log::entry(log::Severity::warning, log::Message::started_anyway,
             domain_title(name_) + ": started anyway (" + permit_->reason + "): " + to_string(why),
             fields);
  try {
    record_started_anyway(root_, *permit_);
  } catch (const Error& error) {
    log::warning(domain_title(name_) + ": cannot write the record of the permitted start: " +
                 error.what() + ", continuing without it");
  }
}

}  // namespace gpuward
