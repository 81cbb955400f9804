// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/error.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "cli/commands.hpp"
#include "cli/domain_edits.hpp"
#include "cli/output.hpp"
#include "domain/xml_document.hpp"
#include "state/start_permit.hpp"

namespace gpuward {

/// The definition stays as it is: with a configuration that has errors no device can be chosen.
int start_anyway_command(const Settings& settings, const std::string& name,
                         const std::string& reason) {
  DomainStore store(settings.root, settings.connect);
  const DomainStore::Found found = require_off(store, name);
  {
    const GrantedStart granted(settings.root,
                               {found.uuid, found.name, shown(printable(trim(reason)))});
    store.start(found.uuid);
  }
  const auto record = started_anyway(settings.root, found.uuid);
  print_lines(found.name +
              (record ? ": started anyway, although:\n" : ": started; nothing refused it\n"));
  if (record)
    for (const std::string& refusal : record->refusals) print_lines("  " + refusal + '\n');
  return 0;
}

}  // namespace gpuward
