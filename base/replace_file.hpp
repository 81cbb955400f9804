// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

namespace gpuward {

/// Replaces a file that may be in a directory of another user in one step, with the owner and the
/// mode that it has; symbolic links are resolved and stay. Nothing is ever done by a path that
/// another process could have put a link at in the meantime. Throws SystemError.
void replace_file(const std::string& path, std::string_view text);

/// Whether there is a file already that is to be replaced.
enum class Present { yes, no };

/// Puts a file of this user with mode 0644 at `path` in one step, and it is on disk when this
/// returns. Throws Error, also where one is there with Present::no; never follows a link there.
void install_file(const std::string& path, std::string_view text, Present present);

}  // namespace gpuward
