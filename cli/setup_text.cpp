// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/setup_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/joined.hpp"
#include "base/utf8.hpp"
#include "cli/memory_text.hpp"
#include "kinds/kind.hpp"

namespace gpuward {

using nlohmann::json;

/// Parts that are not empty, with ", " between.
static std::string listed(std::vector<std::string> parts) {
  std::erase(parts, "");
  return joined(parts);
}

static std::string count_of(size_t count, const char* thing) {
  if (count == 0) return {};
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

/// "0000:41:00.0 (10de:2235.compute, 48 GiB, 29 types)"
static std::string title_of(const SetupGpu& gpu) {
  const std::string about =
      listed({gpu.model, memory_text(gpu.memory.total_mib), count_of(gpu.types.size(), "type"),
              count_of(gpu.gpu.vfs.size(), "VF")});
  return gpu.gpu.parent.name + (about.empty() ? "" : " (" + about + ")");
}

// ---- the report

static std::string usage_of(const SetupGpu& gpu) {
  std::vector<std::string> users{count_of(gpu.instances, "instance")};
  if (!gpu.domains.empty()) users.push_back("in use by domains: " + joined(gpu.domains));
  if (!gpu.by_hand.empty())
    users.push_back("written by hand in the definitions of: " + joined(gpu.by_hand));
  if (!gpu.attached.empty())
    users.push_back("attached in the definitions of: " + joined(gpu.attached));
  for (const Holder& program : gpu.programs) users.push_back("open in " + to_string(program));
  if (!gpu.unknown_programs.empty())
    users.push_back("programs that use it are unknown: " + gpu.unknown_programs);
  return listed(users);
}

static std::string kinds_text(const Gpu& gpu) {
  std::vector<std::string> words;
  for (const Use kind : kinds_of(gpu)) words.emplace_back(use_word(kind));
  return words.empty() ? "cannot be assigned" : "can be assigned as " + listed(words);
}

std::string setup_report(const SetupHost& host, const Setup& setup) {
  std::string text = host.gpus.empty() ? "No GPU on this host.\n" : "GPUs of this host:\n";
  for (const SetupGpu& gpu : host.gpus) {
    const std::string usage = usage_of(gpu);
    text += "  " +
            printable(title_of(gpu) + ": " + kinds_text(gpu.gpu) +
                      (usage.empty() ? "" : "; " + usage)) +
            '\n';
  }
  if (!setup.left_alone.empty()) text += "Left alone:\n";
  for (const LeftAlone& left : setup.left_alone)
    text += "  " + printable(left.gpu->gpu.parent.name + ": " + left.reason) + '\n';
  return text;
}

// ---- the configuration

/// A line that starts with '#', whatever others have written into it.
static std::string comment(const std::string& text) {
  return "# " + printable(text) + '\n';
}

static std::string other_uses(const SetupSection& section) {
  std::vector<std::string> words;
  for (const Use kind : kinds_of(section.gpu->gpu))
    if (kind != section.use) words.emplace_back(use_word(kind));
  words.emplace_back("off");
  return "; or " + listed(words);
}

/// A whole card needs no section, and use = whole in one is the administrator's word to assign it
/// even so where the pool refuses it (kinds/whole.cpp, is_meant_whole).
static std::string section_text(const SetupSection& section) {
  const SetupGpu& gpu = *section.gpu;
  const bool is_comment = traits_of(section.use).is_whole_card;
  const std::string mark = is_comment ? "# " : "";
  std::string text = '\n' + comment(title_of(gpu));
  if (is_comment)
    text += comment("Assigned by its profile alone; use = whole here skips checks (boot display).");
  text += mark + "[gpu " + gpu.gpu.parent.name + "]\n" + mark +
          "use = " + std::string(use_word(section.use)) + "  " + other_uses(section) + '\n';
  if (section.vfs)
    text += "vfs = " + std::to_string(*section.vfs) + "  ; of " + std::to_string(gpu.gpu.most_vfs) +
            " that the card can have\n";
  return text;
}

/// Without process numbers: the text is compared with the file that it is written to.
static std::string reason_text(const LeftAlone& left) {
  const auto& programs = left.gpu->programs;
  const bool is_program = !programs.empty() && left.reason.ends_with(to_string(programs.front()));
  return is_program ? "in use by " + programs.front().command : left.reason;
}

static std::string left_alone_text(const LeftAlone& left) {
  const std::string& name = left.gpu->gpu.parent.name;
  std::string text =
      '\n' + comment(title_of(*left.gpu)) + comment("Left alone: " + reason_text(left));
  return left.is_off ? text + "[gpu " + name + "]\nuse = off\n" : text;
}

static std::string describe(const SetupProfile& profile) {
  const bool has_type = !profile.type.empty();
  const std::string memory = memory_text(profile.memory_mib), card = memory_text(profile.card_mib);
  const std::string share = memory.empty() ? "" : memory + (card.empty() ? "" : " of " + card);
  const std::string what = has_type ? profile.type_name
                           : traits_of(profile.use).is_whole_card
                               ? "A whole card with its companions"
                               : "A VF of a card";
  return listed({what, share,
                 has_type && profile.most
                     ? std::to_string(*profile.most) + " on a card without other types"
                     : "",
                 count_of(profile.gpus.size(), "card")});
}

static std::string profile_text(const SetupProfile& profile) {
  std::string text = '\n' + comment(describe(profile)) + "[profile " + profile.name + "]\n";
  if (profile.use != default_use) text += "use = " + std::string(use_word(profile.use)) + '\n';
  if (!profile.type.empty()) text += "type = " + profile.type + '\n';
  if (profile.names_gpus) text += "gpu = " + joined(profile.gpus) + '\n';
  return text;
}

static constexpr std::string_view head =
    "# GPUs for libvirt domains on this host, proposed by \"gpuward setup\"; see gpuward.conf(5).\n"
    "# Everything may be changed. Files conf.d/*.conf are read after this one and override it.\n"
    "# \"gpuward check\" prints all errors, \"gpuward apply\" sets up VFs as configured here.\n";

std::string setup_config(const Setup& setup) {
  std::string text(head);
  for (const SetupSection& section : setup.sections) text += section_text(section);
  for (const LeftAlone& left : setup.left_alone) text += left_alone_text(left);
  if (!setup.profiles.empty())
    text += "\n# What a domain can request: gpuward attach DOMAIN " + setup.profiles.front().name +
            '\n';
  for (const SetupProfile& profile : setup.profiles) text += profile_text(profile);
  return text;
}

// ---- JSON

static json number_or_null(const std::optional<unsigned>& number) {
  return number ? json(*number) : json(nullptr);
}

static json gpu_entry(const SetupGpu& gpu) {
  json kinds = json::array(), programs = json::array();
  for (const Use kind : kinds_of(gpu.gpu)) kinds.push_back(use_word(kind));
  for (const Holder& program : gpu.programs)
    programs.push_back({{"pid", program.pid}, {"command", program.command}});
  return {{"gpu", gpu.gpu.parent.name},
          {"model", gpu.model},
          {"kinds", kinds},
          {"memory", number_or_null(gpu.memory.total_mib)},
          {"domains", gpu.domains},
          {"by_hand", gpu.by_hand},
          {"programs", gpu.unknown_programs.empty() ? programs : json(nullptr)}};
}

json setup_json(const SetupHost& host, const Setup& setup) {
  json gpus = json::array(), left_alone = json::array(), sections = json::array(),
       profiles = json::array();
  for (const SetupGpu& gpu : host.gpus) gpus.push_back(gpu_entry(gpu));
  for (const LeftAlone& left : setup.left_alone)
    left_alone.push_back({{"gpu", left.gpu->gpu.parent.name}, {"reason", left.reason}});
  for (const SetupSection& section : setup.sections)
    sections.push_back({{"gpu", section.gpu->gpu.parent.name},
                        {"use", use_word(section.use)},
                        {"vfs", number_or_null(section.vfs)}});
  for (const SetupProfile& profile : setup.profiles)
    profiles.push_back({{"name", profile.name},
                        {"use", use_word(profile.use)},
                        {"type", profile.type.empty() ? json(nullptr) : json(profile.type)},
                        {"memory", number_or_null(profile.memory_mib)},
                        {"gpus", profile.gpus}});
  return {
      {"gpus", gpus}, {"left_alone", left_alone}, {"sections", sections}, {"profiles", profiles}};
}

}  // namespace gpuward
