// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "kinds/kind.hpp"

namespace gpuward {

// Each is at the end of the file of its kind.
extern const Kind mdev_kind;
extern const Kind mig_kind;
extern const Kind vendor_vf_kind;
extern const Kind vf_kind;
extern const Kind whole_kind;

/// The table, in the order in which `list gpus` shows what a GPU can be assigned as.
inline constexpr const Kind* rows[] = {&mdev_kind, &mig_kind, &vendor_vf_kind, &vf_kind,
                                       &whole_kind};

}  // namespace gpuward
