// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <set>

#include "base/quote.hpp"
#include "base/uuid.hpp"
#include "config/gpu_keys.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "config/section.hpp"

namespace gpuward {

constexpr Choice<Isolation> isolations[] = {
    {isolation_word(Isolation::memory), Isolation::memory},
    {isolation_word(Isolation::memory_and_compute), Isolation::memory_and_compute}};

static void set_use(GpuSection& gpu, const Setting& setting) {
  gpu.use = choose_use(setting, true);
}

static void set_isolation(GpuSection& gpu, const Setting& setting) {
  gpu.isolation = choose(setting, isolations);
}

static void set_vfs(GpuSection& gpu, const Setting& setting) {
  constexpr unsigned most = 65535;  // NumVFs is 16 bits wide in the SR-IOV capability
  gpu.vfs = setting.value == "max" ? GpuSection::max_vfs : number_within(setting.value, 0, most);
  if (!gpu.vfs) setting.reject(setting.value, "expected a number from 0 to 65535, or max");
}

/// "TYPE:N, ..."; a type for which `is_type` is false is a problem.
static std::vector<InstanceCount> instance_counts(const Setting& setting,
                                                  bool (*is_type)(std::string_view)) {
  constexpr unsigned most = 1024;
  std::set<std::string_view> seen;
  std::vector<InstanceCount> counts;
  for (const std::string_view item : split_list(setting)) {
    const auto colon = item.find(':');
    const std::string_view type = trim(item.substr(0, colon));
    const std::string_view rest =
        colon == std::string_view::npos ? std::string_view() : trim(item.substr(colon + 1));
    const auto count = number_within(rest, 0, most);
    if (!is_type(type) || !count)
      setting.reject(item, "expected TYPE:N with N from 0 to 1024, such as nvidia-63:4");
    else if (!seen.insert(type).second)
      setting.reject(item, "type listed twice");
    else
      counts.push_back({std::string(type), *count});
  }
  return counts;
}

static void set_instances(GpuSection& gpu, const Setting& setting) {
  gpu.instances = instance_counts(setting, is_name);
}

static void set_max(GpuSection& gpu, const Setting& setting) {
  gpu.max = instance_counts(setting, is_type_name);
}

/// The names in reset_method of the kernel's pci-sysfs (pci_reset_fn_methods in drivers/pci/pci.c,
/// Linux 6.12) and "default", which it takes as well.
constexpr std::string_view reset_methods[] = {
    "default", "device_specific", "acpi", "flr", "af_flr", "pm", "bus", "cxl_bus"};

static bool is_known_method(std::string_view name) {
  return std::find(std::begin(reset_methods), std::end(reset_methods), name) !=
         std::end(reset_methods);
}

static bool is_method_name(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// A method that we do not know is left to the kernel, which gets new ones, unless it looks like a
/// slip of the pen.
static void set_reset_method(GpuSection& gpu, const Setting& setting) {
  gpu.reset_method.clear();
  for (const std::string_view name : split(setting.value, ' ')) {
    if (name.empty()) continue;
    if (!is_method_name(name) || (!is_known_method(name) && nearest(name, reset_methods)))
      setting.reject(name, suggestion(name, reset_methods));
    if (!gpu.reset_method.empty()) gpu.reset_method += ' ';
    gpu.reset_method += name;
  }
}

/// One kind of identity: how its text becomes what is compared, or nothing when it is no such.
struct IdentityKind {
  std::string_view word;
  std::optional<std::string> ExpectedIdentity::*member;
  std::optional<std::string> (*read)(std::string_view text);
  std::string_view advice;
};

static std::optional<std::string> read_word(std::string_view text) {
  if (!is_printable(text)) return {};
  return std::string(text);
}

static std::optional<std::string> read_uuid(std::string_view text) {
  if (text.starts_with("GPU-")) text.remove_prefix(4);  // as nvidia-smi writes it
  const auto uuid = parse_uuid(text);
  if (!uuid) return {};
  return to_string(*uuid);
}

static std::optional<std::string> read_subsystem(std::string_view text) {
  if (!is_id_pair(text)) return {};
  return lower_case(text);
}

constexpr IdentityKind identity_kinds[] = {
    {"serial", &ExpectedIdentity::serial, read_word, "expected serial:TEXT without spaces"},
    {"uuid", &ExpectedIdentity::uuid, read_uuid,
     "expected uuid: and a UUID, such as uuid:GPU-4dea22b3-1d52-d8f3-2516-782e98ab3fa0"},
    {"subsystem", &ExpectedIdentity::subsystem, read_subsystem,
     "expected subsystem:VENDOR:DEVICE in hexadecimal, such as subsystem:10de:145a"},
    {"slot", &ExpectedIdentity::slot, read_word, "expected slot:NAME as in /sys/bus/pci/slots"},
};

static void set_one_identity(GpuSection& gpu, const Setting& setting, std::string_view item) {
  const auto colon = item.find(':');
  const std::string_view word = trim(item.substr(0, colon));
  std::array<std::string_view, std::size(identity_kinds)> words;
  for (size_t i = 0; i < words.size(); ++i) {
    const IdentityKind& kind = identity_kinds[i];
    words[i] = kind.word;
    if (word != kind.word) continue;
    auto& member = gpu.expect.*kind.member;
    if (member) return setting.reject(item, "only one of each kind is allowed");
    if (colon != std::string_view::npos) member = kind.read(trim(item.substr(colon + 1)));
    if (!member) setting.reject(item, kind.advice);
    return;
  }
  setting.reject(item, suggestion(word, words));
}

static void set_expect(GpuSection& gpu, const Setting& setting) {
  gpu.expect = {};
  for (const std::string_view item : split_list(setting)) set_one_identity(gpu, setting, item);
}

static void set_exec_quantum(GpuSection& gpu, const Setting& setting) {
  constexpr unsigned most = 100'000;
  gpu.quota.exec_quantum_ms = number_within(setting.value, 0, most);
  if (!gpu.quota.exec_quantum_ms)
    setting.reject(setting.value, "expected milliseconds, 0 to 100000");
}

static void set_preempt_timeout(GpuSection& gpu, const Setting& setting) {
  constexpr unsigned most = 100'000'000;
  gpu.quota.preempt_timeout_us = number_within(setting.value, 0, most);
  if (!gpu.quota.preempt_timeout_us)
    setting.reject(setting.value, "expected microseconds, 0 to 100000000");
}

static void set_vf_memory(GpuSection& gpu, const Setting& setting) {
  gpu.quota.memory_mib = mebibytes(setting);
}

static void set_adopt(GpuSection& gpu, const Setting& setting) {
  if (const auto adopt = choose(setting, yes_no)) gpu.adopt = *adopt;
}

constexpr Key<GpuSection> keys[] = {
    {"use", set_use},
    {"vfs", set_vfs},
    {"instances", set_instances},
    {"max", set_max},
    {"isolation", set_isolation},
    {"expect", set_expect},
    {"exec-quantum", set_exec_quantum},
    {"preempt-timeout", set_preempt_timeout},
    {"vf-memory", set_vf_memory},
    {"reset-method", set_reset_method},
    {"adopt", set_adopt},
};

void parse_section(Section<GpuSection>& section, const SectionText& block) {
  set_keys(section, block, keys);
}

void check(Section<GpuSection>& section, std::vector<ConfigProblem>& problems) {
  const KeyRules keys_set(section, problems);
  GpuSection& gpu = section.content;
  if (keys_set.has("use") && !gpu.use) return;  // a problem already
  if (keys_set.has("instances") && !gpu.use) gpu.use = default_use;
  const std::string found =
      keys_set.has("use") ? "'use' is " + std::string(use_word(*gpu.use)) + keys_set.where("use")
                          : "'use' is not set";
  const Use use = gpu.use.value_or(default_use);
  for (const GpuKey& key : gpu_keys)
    if (key.trait) keys_set.require(key.name, use, key.trait, found);
  if (gpu.use && traits_of(use).has_types && !traits_of(use).has_named_types)
    for (const InstanceCount& limit : gpu.max)
      if (!is_name(limit.type))
        keys_set.problem("max", "requires the id of an mdev type, such as nvidia-63, not " +
                                    in_quotes(limit.type));
}

}  // namespace gpuward
