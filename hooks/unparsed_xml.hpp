// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/root.hpp"
#include "config/config.hpp"
#include "domain/domain.hpp"

namespace gpuward {

/// Why a domain whose XML cannot be parsed may have a GPU: a <hostdev> in the text that names an
/// mdev, or a PCI address that is a GPU here, a VF of one or a function of its card, or whose type
/// or address cannot be read. "" for USB, SCSI and other PCI devices, and without a <hostdev>.
std::string gpu_in_text(const Root& root, const Config& config, std::string_view xml);

/// Why a domain whose XML cannot be parsed, because of `error`, is refused: gpuward gave it a GPU,
/// or it may have one. Nothing when it starts.
std::optional<Reason> unparsed_refusal(const Root& root, const Config& config, std::string_view xml,
                                       bool names_gpuward, const Reason& error);

/// The mdevs and PCI devices that the <hostdev>s of such a text name, without aliases; nothing when
/// one of them cannot be read, so that it is unknown whether its device is in use.
std::optional<std::vector<Hostdev>> hostdevs_in_text(std::string_view xml);

}  // namespace gpuward
