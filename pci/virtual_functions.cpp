// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/virtual_functions.hpp"

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {

std::vector<PciAddress> virtual_functions(const Root& root, const PciAddress& pf) {
  std::vector<PciAddress> found;
  const std::string path = pci_path(root, pf) + "/virtfn";
  for (;;) {
    const auto target = read_link(path + std::to_string(found.size()));
    const auto address = target ? parse_pci_address(base_name(*target)) : std::nullopt;
    if (!address) return found;
    found.push_back(*address);
  }
}

static std::optional<unsigned> number_in(const std::string& path) {
  return to_number<unsigned>(read_attribute(path).value_or(""));
}

unsigned total_vfs(const Root& root, const PciAddress& pf) {
  return number_in(pci_path(root, pf) + "/sriov_totalvfs").value_or(0);
}

std::optional<PciAddress> virtual_function_address(const Root& root, const PciAddress& pf,
                                                   unsigned index) {
  const std::string path = pci_path(root, pf);
  const auto offset = number_in(path + "/sriov_offset");
  const auto stride = number_in(path + "/sriov_stride");
  if (!offset || !stride || *offset > 0xffff || *stride > 0xffff || index > 0xffff) return {};
  // Routing ID: bus, slot and function in 8, 5 and 3 bits (PCIe, Single Root I/O Virtualization).
  const unsigned pf_id = pf.bus * 256u + pf.slot * 8u + pf.function;
  const uint64_t id = pf_id + *offset + uint64_t{*stride} * index;
  if (id > 0xffff) return {};
  return PciAddress{pf.domain, static_cast<uint8_t>(id >> 8), static_cast<uint8_t>(id >> 3 & 0x1f),
                    static_cast<uint8_t>(id & 7)};
}

VfSettings wanted_vfs(const GpuSettings& settings, Use use, unsigned most) {
  const unsigned asked = settings.vfs.value_or(GpuSection::max_vfs);
  return {asked == GpuSection::max_vfs ? most : asked, traits_of(use).keeps_driver, settings.quota};
}

static std::string profile_directory(const std::string& pf_path, unsigned number) {
  return pf_path + "/sriov_admin/vf" + std::to_string(number) + "/profile/";
}

std::string vf_profile_path(const Root& root, const PciAddress& pf, unsigned number,
                            const std::string& attribute) {
  return profile_directory(pci_path(root, pf), number) + attribute;
}

/// One value and what to say when the kernel does not take it.
struct VfStep {
  KernelWrite write;
  std::string what;
};

static void add_quota(std::vector<VfStep>& steps, const std::string& pf_path, unsigned count,
                      const VfQuota& quota) {
  constexpr uint64_t bytes_per_mib = 1 << 20;
  for (unsigned number = 1; number <= count; ++number) {  // xe counts VFs from 1
    const std::string vf = "vf" + std::to_string(number);
    const std::string profile = profile_directory(pf_path, number);
    const auto add = [&](const char* attribute, uint64_t value) {
      steps.push_back({{profile + attribute, std::to_string(value)},
                       "setting " + std::string(attribute) + " of " + vf});
    };
    if (quota.memory_mib) add("vram_quota", *quota.memory_mib * bytes_per_mib);
    if (quota.exec_quantum_ms) add("exec_quantum_ms", *quota.exec_quantum_ms);
    if (quota.preempt_timeout_us) add("preempt_timeout_us", *quota.preempt_timeout_us);
  }
}

/// Quotas after 0 and before the number: the driver gives each VF its part when they are enabled.
static std::vector<VfStep> steps_to(const std::string& pf_path, const VfSettings& wanted,
                                    bool are_there) {
  std::vector<VfStep> steps;
  const std::string numvfs = pf_path + "/sriov_numvfs";
  if (are_there) steps.push_back({{numvfs, "0"}, "disabling the VFs"});
  if (wanted.count == 0) return steps;
  steps.push_back({{pf_path + "/sriov_drivers_autoprobe", wanted.autoprobe ? "1" : "0"},
                   "setting sriov_drivers_autoprobe"});
  add_quota(steps, pf_path, wanted.count, wanted.quota);
  steps.push_back({{numvfs, std::to_string(wanted.count)},
                   "enabling " + std::to_string(wanted.count) + " VFs"});
  return steps;
}

static KernelChange refusal(const VfStep& step, const WriteResult& result) {
  if (result.outcome == WriteResult::Outcome::blocked)
    return {step.what + " is " + blocked_in_kernel(result.child) + "; check: journalctl -k",
            result.child};
  if (result.outcome == WriteResult::Outcome::unknown)
    return {"process " + step.what + " died; check: journalctl -k"};
  std::string text = step.what + " failed: " + errno_text(result.code);
  const bool is_count = step.write.path.ends_with("/sriov_numvfs");
  // drivers/pci/pci-sysfs.c: a driver without sriov_configure.
  if (is_count && result.code == ENOENT)
    text +=
        ": the driver cannot enable VFs through sysfs; AMD's GIM has the module parameter vf_num, "
        "others need their PF driver loaded first";
  if (!is_count && result.code == ENOENT)
    text += ": the driver has no such setting (xe has it since Linux 6.19)";
  if (step.write.path.find("/sriov_admin/") != std::string::npos)
    text += "; the VFs remain disabled until the [gpu] section requests less";
  return {text};
}

VfResult set_virtual_functions(const Root& root, const PciAddress& pf, const VfSettings& wanted,
                               const WriteOptions& options) {
  const unsigned most = total_vfs(root, pf);
  if (wanted.count > most)
    return {{"vfs = " + std::to_string(wanted.count) + " exceeds sriov_totalvfs (" +
             std::to_string(most) + ")"},
            true};
  const auto steps = steps_to(pci_path(root, pf), wanted, !virtual_functions(root, pf).empty());
  std::vector<KernelWrite> writes;
  writes.reserve(steps.size());
  for (const VfStep& step : steps) writes.push_back(step.write);
  const auto results = write_in_child(writes, options);
  const auto failed = std::find_if(results.begin(), results.end(), [](const WriteResult& result) {
    return result.outcome != WriteResult::Outcome::written;
  });
  const auto made = virtual_functions(root, pf).size();
  if (failed != results.end()) {
    // The last of the writes may have been done; those before it were.
    const bool is_unknown = failed->outcome == WriteResult::Outcome::unknown;
    if (is_unknown && failed + 1 == results.end() && made == wanted.count) return {};
    return {refusal(steps[static_cast<size_t>(failed - results.begin())], *failed),
            failed == results.begin() && failed->outcome == WriteResult::Outcome::failed};
  }
  if (made == wanted.count) return {};
  return {{"driver enabled " + std::to_string(made) + " VFs instead of " +
           std::to_string(wanted.count) + "; check: journalctl -k"}};
}

}  // namespace gpuward
