// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "config/config.hpp"
#include "config/gpu_selector.hpp"
#include "fake_host.hpp"

namespace gpuward {

/// A VF of a host on which one type of vGPU can be created.
inline void add_vendor_vf(FakeHost& host, const std::string& vf) {
  host.pci_gpu(vf)
      .attribute("nvidia/current_vgpu_type", "0")
      .attribute("nvidia/creatable_vgpu_types", "1145 : NVIDIA L40S-1B")
      .attribute("vfio-dev/vfio0/dev", "1:2");
}

/// The VFs of this PF for profile "vgpu".
inline Config vendor_vgpu_config(const std::string& pf) {
  Config config;
  GpuSection section;
  section.selector = *parse_gpu_selector(pf);
  section.use = Use::vendor_vf;
  config.gpus.push_back(section);
  Profile profile;
  profile.name = "vgpu";
  profile.use = Use::vendor_vf;
  profile.types = {"1145"};
  config.profiles.push_back(profile);
  return config;
}

}  // namespace gpuward
