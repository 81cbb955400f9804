// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/vf_profile.hpp"

#include "base/file.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"
#include "pci/virtual_functions.hpp"

namespace gpuward {

/// "low [normal] high"
static std::string priority_in(const std::string& text) {
  const size_t begin = text.find('[');
  const size_t end = text.find(']');
  return begin < end && end != std::string::npos ? text.substr(begin + 1, end - begin - 1) : "";
}

static VfProfile read_profile(const PciAddress& address, const std::string& directory) {
  const auto text = [&](const char* attribute) {
    return read_optional_attribute(directory + attribute).value_or("");
  };
  return {address, to_number<uint64_t>(text("vram_quota")),
          to_number<unsigned>(text("exec_quantum_ms")),
          to_number<unsigned>(text("preempt_timeout_us")), priority_in(text("sched_priority"))};
}

std::vector<VfProfile> vf_profiles(const Root& root, const PciAddress& pf) {
  const auto vfs = virtual_functions(root, pf);
  std::vector<VfProfile> profiles;
  profiles.reserve(vfs.size() + 1);
  profiles.push_back(read_profile(pf, pci_path(root, pf) + "/sriov_admin/pf/profile/"));
  for (const PciAddress& vf : vfs) {
    const auto number = static_cast<unsigned>(profiles.size());
    profiles.push_back(read_profile(vf, vf_profile_path(root, pf, number, "")));
  }
  return profiles;
}

}  // namespace gpuward
