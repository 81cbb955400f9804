// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace gpuward {

/// What the caller of libvirt reads of a refusal: "gpuward: domain 'NAME': REASON" on one line of
/// fewer than 300 characters, so that it fits a ticket. Which processes of the host use a device is
/// left out, as the caller may be anyone who may start a domain: the journal has the whole reason.
std::string answer_for_caller(std::string_view domain, const Reason& reason);

}  // namespace gpuward
