// SPDX-License-Identifier: LGPL-2.1-or-later
#include <map>

#include "cli/commands.hpp"
#include "cli/gpu_model.hpp"
#include "cli/memory_text.hpp"
#include "cli/output.hpp"
#include "cli/tree.hpp"
#include "config/config_parser.hpp"
#include "inventory/gpu_types.hpp"
#include "inventory/snapshot.hpp"
#include "kinds/mig_instances.hpp"
#include "kinds/type_names.hpp"
#include "kinds/types.hpp"

namespace gpuward {

/// What the lines of a tree are made of.
struct Forest {
  const Root& root;
  Host host;
  std::map<std::string, GpuUse> uses;
  TypeNames type_names;
  HardwareNames models{};
};

static void add(std::string& text, const std::string& word) {
  if (!word.empty()) text += (text.empty() ? "" : ", ") + word;
}

/// "nvidia-559 (NVIDIA A40-12Q), in-use"; of a PCI device what it is used as.
static std::string type_and_state(Forest& forest, const GpuInstance& instance) {
  std::string text = is_mediated(instance.use) ? "" : std::string(use_word(instance.use));
  if (const std::string& type = instance.instance.type; !type.empty()) {
    const std::string name = forest.type_names.of(instance);
    text += (text.empty() ? "" : " ") + type + (name.empty() ? "" : " (" + name + ')');
  }
  add(text, instance.state);
  return text;
}

static std::vector<TreeNode> domain_of(const GpuInstance& instance) {
  if (instance.domain.empty()) return {};
  return {{"domain " + instance.domain}};
}

static TreeNode instance_node(Forest& forest, const Gpu& gpu, const GpuInstance& instance) {
  const std::string text = type_and_state(forest, instance);
  const bool is_itself = instance.name == gpu.parent.name;
  return {is_itself ? text : instance.name + "  " + text, domain_of(instance)};
}

/// Of a vGPU that no claim names.
static std::string external_vgpu(Forest& forest, const Gpu& gpu, unsigned id) {
  GpuInstance vgpu = unclaimed_vgpu(gpu.parent.name, id);
  vgpu.state = forest.host.claimed.unreadable.empty() ? "external" : "unknown";
  return type_and_state(forest, vgpu);
}

/// A VF: what it is assigned as, and the mdevs on it. Without a text nothing uses it.
static TreeNode vf_node(Forest& forest, const Gpu& gpu, const std::string& name,
                        const std::vector<const GpuInstance*>& instances) {
  TreeNode node;
  for (const GpuInstance* const instance : instances)
    if (instance->name == name) {
      node.text = "VF " + name + "  " + type_and_state(forest, *instance);
      node.below = domain_of(*instance);
    } else {
      if (node.text.empty()) node.text = "VF " + name;
      node.below.push_back(instance_node(forest, gpu, *instance));
    }
  const auto& vgpus = forest.uses[gpu.parent.name].vgpus;
  const auto vgpu = vgpus.find(*parse_pci_address(name));
  if (node.text.empty() && vgpu != vgpus.end())
    node.text = "VF " + name + "  " + external_vgpu(forest, gpu, vgpu->second);
  return node;
}

static std::string gpu_text(Forest& forest, const Gpu& gpu) {
  const std::string memory =
      memory_text(memory_of(forest.root, gpu, catalogue_of(forest.root, gpu),
                            forest.uses[gpu.parent.name], forest.host.instances));
  std::string text;
  add(text, model_name(forest.models, gpu, forest.host.gpus).brief);
  add(text, gpu.driver);
  add(text, memory.empty() ? "" : memory + " in use");
  return gpu.parent.name + (text.empty() ? "" : "  " + text);
}

/// "GPU instance 7  1g.10gb, placement 6+1, in-use"
static TreeNode mig_node(const MigInstance& instance) {
  const auto& [start, size] = instance.place;
  std::string text = instance.profile;
  add(text, "placement " + std::to_string(start) + '+' + std::to_string(size));
  add(text, instance.state);
  TreeNode node{"GPU instance" + (instance.id ? ' ' + std::to_string(*instance.id) : "") + "  " +
                text};
  if (!instance.domain.empty()) node.below.push_back({"domain " + instance.domain});
  return node;
}

static std::vector<TreeNode> mig_nodes(const Forest& forest, const Gpu& gpu) {
  std::vector<TreeNode> nodes;
  const auto mig = read_mig_instances(forest.root, forest.host, gpu);
  if (!mig) return nodes;
  if (!mig->unknown.empty()) return {{"GPU instances unknown: " + mig->unknown}};
  nodes.reserve(mig->instances.size());
  for (const MigInstance& instance : mig->instances) nodes.push_back(mig_node(instance));
  return nodes;
}

/// Its GPU instances, what else is on the GPU itself, then its VFs in their order.
static TreeNode gpu_node(Forest& forest, const Gpu& gpu) {
  TreeNode node{gpu_text(forest, gpu), mig_nodes(forest, gpu)};
  std::map<std::string, std::vector<const GpuInstance*>> on_vfs;
  for (const PciAddress& vf : gpu.vfs) on_vfs[to_string(vf)];
  for (const size_t at : forest.uses[gpu.parent.name].at) {
    const GpuInstance& instance = forest.host.instances[at];
    auto vf = on_vfs.find(instance.name);
    if (vf == on_vfs.end()) vf = on_vfs.find(instance.instance.parent);
    if (vf == on_vfs.end())
      node.below.push_back(instance_node(forest, gpu, instance));
    else
      vf->second.push_back(&instance);
  }
  unsigned unused = 0;
  for (const PciAddress& vf : gpu.vfs) {
    TreeNode below = vf_node(forest, gpu, to_string(vf), on_vfs[to_string(vf)]);
    if (below.text.empty())
      ++unused;
    else
      node.below.push_back(std::move(below));
  }
  if (unused > 0)
    node.below.push_back({std::to_string(unused) + (unused == 1 ? " VF" : " VFs") + " unused"});
  return node;
}

int list_tree_command(const Settings& settings) {
  const Config config = load_config(config_files(settings.root)).config;
  Forest forest{settings.root, read_host(settings.root, config), {}, TypeNames(settings.root)};
  forest.uses = use_of_gpus(settings.root, forest.host.gpus, forest.host.instances);
  std::vector<TreeNode> roots;
  for (const Gpu& gpu : forest.host.gpus) roots.push_back(gpu_node(forest, gpu));
  if (roots.empty())
    print_lines("No GPU on this host.\n");
  else
    print_lines(format_tree(roots, is_utf8_locale()));
  return report_unreadable(forest.host.claimed);
}

}  // namespace gpuward
