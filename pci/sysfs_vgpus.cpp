// SPDX-License-Identifier: LGPL-2.1-or-later
// The vGPUs on VFs by files of NVIDIA's driver in each VF's directory.
#include "base/error.hpp"
#include "base/file.hpp"
#include "base/kernel_write.hpp"
#include "base/text.hpp"
#include "pci/pci_device.hpp"
#include "pci/vgpu_back_end.hpp"

namespace gpuward {

static constexpr const char* current_file = "nvidia/current_vgpu_type";
static constexpr const char* creatable_file = "nvidia/creatable_vgpu_types";
static constexpr const char* gpu_instance_file = "nvidia/gpu_instance_id";
static constexpr const char* parameters_file = "nvidia/vgpu_params";

static std::string path_of(const Root& root, const PciAddress& vf, const char* file) {
  return pci_path(root, vf) + '/' + file;
}

static WriteResult write(const Root& root, const PciAddress& vf, const char* file,
                         std::string value, const WriteOptions& options) {
  const KernelWrite one{path_of(root, vf, file), std::move(value)};
  return write_in_child({&one, 1}, options).front();
}

static KernelChange blocked_change(const char* file, const WriteResult& result) {
  return {"write to " + std::string(base_name(file)) + " is " + blocked_in_kernel(result.child) +
              "; check: journalctl -k",
          result.child};
}

static std::string died_text(const char* file) {
  return "process writing " + std::string(base_name(file)) + " died";
}

static bool is_present(const Root& root, const PciAddress& vf) {
  return exists(path_of(root, vf, current_file));
}

static std::vector<VgpuType> creatable(const Root& root, const PciAddress& vf) {
  std::vector<VgpuType> types;
  const auto text = read_attribute(path_of(root, vf, creatable_file));
  if (!text) return {};
  for (const std::string_view line : split(*text, '\n')) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto id = to_number<unsigned>(trim(line.substr(0, colon)));  // not the head, "ID"
    if (id && *id != 0) types.push_back({*id, std::string(trim(line.substr(colon + 1)))});
  }
  return types;
}

static std::optional<std::string> current(const Root& root, const PciAddress& vf) {
  return read_attribute(path_of(root, vf, current_file));
}

/// Where the driver has a file for the GPU instance of the vGPU, that is written first. Whether the
/// driver accepted it shows afterwards (gpu_instance).
static KernelChange set(const Root& root, const PciAddress& vf, unsigned id,
                        std::optional<unsigned> gpu_instance, const WriteOptions& options) {
  using Outcome = WriteResult::Outcome;
  if (gpu_instance && exists(path_of(root, vf, gpu_instance_file))) {
    const WriteResult selected =
        write(root, vf, gpu_instance_file, std::to_string(*gpu_instance), options);
    if (selected.outcome == Outcome::blocked) return blocked_change(gpu_instance_file, selected);
  }
  const WriteResult result = write(root, vf, current_file, std::to_string(id), options);
  if (result.outcome == Outcome::blocked) return blocked_change(current_file, result);
  const auto now = to_number<unsigned>(current(root, vf).value_or(""));
  if (now == id) return {};
  if (result.outcome == Outcome::unknown)
    return {died_text(current_file) + "; check: journalctl -k"};
  if (result.outcome == Outcome::failed)
    return {"driver rejected vGPU type " + std::to_string(id) + ": " + errno_text(result.code)};
  return {"driver accepted vGPU type " + std::to_string(id) + " but current_vgpu_type reads " +
          (now ? std::to_string(*now) : std::string("nothing")) + "; check: journalctl -k"};
}

static std::optional<unsigned> gpu_instance(const Root& root, const PciAddress& vf) {
  constexpr unsigned none = ~0U;
  const auto id = to_number<unsigned>(
      read_optional_attribute(path_of(root, vf, gpu_instance_file)).value_or(""));
  return id == none ? std::nullopt : id;
}

/// A space clears it by NVIDIA's guide, which was not tried on a card.
static KernelChange clear_parameters(const Root& root, const PciAddress& vf,
                                     const WriteOptions& options) {
  using Outcome = WriteResult::Outcome;
  const WriteResult result = write(root, vf, parameters_file, " ", options);
  if (result.outcome == Outcome::written) return {};
  if (result.outcome == Outcome::blocked) return blocked_change(parameters_file, result);
  return {
      (result.outcome == Outcome::failed ? errno_text(result.code) : died_text(parameters_file)) +
      "; check: cat " + path_of(root, vf, parameters_file)};
}

// ---- its row

static constexpr const char* read_files[] = {current_file, creatable_file};

constexpr VgpuBackEnd sysfs_vgpus{
    .type_word = "current_vgpu_type",
    .absent = "no nvidia/current_vgpu_type; check that NVIDIA's vGPU driver is loaded",
    .attributes = read_files,
    .is_present = is_present,
    .creatable = creatable,
    .current = current,
    .set = set,
    .gpu_instance = gpu_instance,
    .clear_parameters = clear_parameters};

}  // namespace gpuward
