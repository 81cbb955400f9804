// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inventory/device_facts.hpp"
#include "pci/nvml.hpp"
#include "pci/vendor_vgpu.hpp"

namespace gpuward {

// What of a MIG-backed vGPU is decided without a host.

/// ClaimedDevice::part: the GPU instance of one claimed device, "19:6+1:7". Written before it is
/// created with "-" in place of its id, and with ":adopted" of one that another tool created.
struct MigPart {
  GpuInstanceRef gpu_instance;
  bool is_adopted = false;
};
std::string format_part(const MigPart& part);
std::optional<MigPart> parse_part(std::string_view text);

/// "GPU instance 7"
std::string gpu_instance_text(const MigPart& part);

/// The GPU instance of a claimed device compared with what the card has: by its id, else by its
/// place. `card`: nothing, with the reason in `unknown`, where it cannot be asked.
DeviceFacts part_facts(const ClaimedDevice& device, const std::optional<MigCard>& card,
                       const std::string& unknown = {});

/// The type of vGPU that takes all of a GPU instance of the profile: "H100-1-10C" of "1g.10gb",
/// "A100-1-5CME" of "1g.5gb+me". Names are MODEL-SLICES-GBSERIES with ME, NOME, MEALL or GFX, which
/// some drivers leave out of the media ones (NVIDIA's vgpu-device-manager, vgpu_type.go). With
/// graphics the Q series is preferred, else the C series. Null where none fits.
const VgpuType* mig_vgpu_type(std::string_view profile, const std::vector<VgpuType>& types);

}  // namespace gpuward
