// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/doctor/findings.hpp"

#include <algorithm>

namespace gpuward {

Findings merged(const Findings& findings) {
  Findings result;
  for (const Finding& finding : findings) {
    const auto same = std::find_if(result.begin(), result.end(), [&](const Finding& other) {
      return other.severity == finding.severity && other.check == finding.check &&
             other.found == finding.found && other.fix == finding.fix;
    });
    if (same == result.end())
      result.push_back(finding);
    else
      same->object += ", " + finding.object;
  }
  return result;
}

}  // namespace gpuward
