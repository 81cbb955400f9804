// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "lifecycle/preparation.hpp"

namespace gpuward {

/// Undoes what the preparation has done until it failed; what cannot be undone stays in
/// quarantine. Only what is on disk as this domain's was touched. No guest has had the devices, so
/// there is nothing to scrub. The first cause is what the user must see, so nothing here throws.
void undo(Preparation& preparation);

}  // namespace gpuward
