// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace gpuward {

/// Lets go of the pages of programs and libraries that only starting needed: libvirt comes with
/// fifty libraries, most of which set themselves up and are never run again. What is needed later
/// is read again from the page cache.
void release_unused_text();

}  // namespace gpuward
