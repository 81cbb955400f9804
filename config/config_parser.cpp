// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config/config_parser.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "config/gpu_selector.hpp"
#include "config/names.hpp"
#include "config/request_words.hpp"
#include "config/section.hpp"

namespace gpuward {
namespace {

constexpr size_t largest_file = 16 << 20;

/// All sections of all files, in the order in which they were first opened.
struct Sections {
  Section<GuardPolicy> guard;
  std::vector<Section<GpuSection>> gpus;
  std::vector<Section<Profile>> profiles;
  std::vector<Section<Quota>> quotas;
};

/// The section of that title, which an earlier file may have opened, or a new one.
template <typename Content>
Section<Content>& open(std::vector<Section<Content>>& sections, const std::string& title) {
  for (Section<Content>& section : sections)
    if (section.title == title) return section;
  sections.emplace_back().title = title;
  return sections.back();
}

/// Reads one file's block of a section and tells when it is not the first in this file.
template <typename Content>
void read_section(Section<Content>& section, const SectionText& block) {
  const Position here = block.at(block.ini.line);
  if (section.block.line != 0 && section.block.file == here.file)
    block.problems.push_back(
        {here, block.title + " already exists at line " + std::to_string(section.block.line)});
  section.block = here;
  parse_section(section, block);
}

void reject_name(SectionText& block, std::string_view name, std::string_view advice) {
  block.problems.push_back(
      {block.at(block.ini.line),
       "bad name " + in_quotes(name) + " in " + block.title + "; " + std::string(advice)});
}

void read_guard(Sections& sections, SectionText& block, std::string_view name) {
  if (!name.empty()) reject_name(block, name, "expected [guard] without a name");
  read_section(sections.guard, block);
}

void read_gpu(Sections& sections, SectionText& block, std::string_view name) {
  const auto selector = parse_gpu_selector(name);
  if (selector)
    block.title = "[gpu " + to_string(*selector) + "]";
  else
    reject_name(block, name, selector_advice(name));
  Section<GpuSection>& section = open(sections.gpus, block.title);
  section.usable = selector.has_value();
  if (selector) section.content.selector = *selector;
  if (section.content.position.line == 0) section.content.position = block.at(block.ini.line);
  read_section(section, block);
}

/// What else the name means, of those that 0.1.0 allowed for profiles; "" when it means nothing
/// else.
std::string_view reserved_name(std::string_view name) {
  return name == "memory" ? "reserved as a key of [quota]" : reserved_request(name);
}

/// A name that 0.1.0 allowed does not stop the domains of other profiles.
void ignore_reserved_profile(SectionText& block, std::string_view name) {
  block.unsupported.push_back(
      {block.at(block.ini.line), block.title + " has no effect: " + in_quotes(name) + " is " +
                                     std::string(reserved_name(name)) + "; rename the profile"});
}

void read_profile(Sections& sections, SectionText& block, std::string_view name) {
  const bool is_reserved = !reserved_name(name).empty();
  const std::string_view advice = is_reserved       ? ""
                                  : !is_name(name)  ? name_rule
                                  : name == "total" ? "reserved as a key of [quota]"
                                                    : "";
  if (is_reserved) ignore_reserved_profile(block, name);
  if (!advice.empty()) reject_name(block, name, advice);
  Section<Profile>& section = open(sections.profiles, block.title);
  section.usable = advice.empty() && !is_reserved;
  section.content.name = name;
  if (section.content.position.line == 0) section.content.position = block.at(block.ini.line);
  read_section(section, block);
}

void read_quota(Sections& sections, SectionText& block, std::string_view name) {
  const auto pattern = parse_domain_pattern(name);
  if (!pattern) reject_name(block, name, domain_pattern_advice);
  Section<Quota>& section = open(sections.quotas, block.title);
  section.usable = pattern.has_value();
  if (pattern) section.content.domains = *pattern;
  if (section.content.position.line == 0) section.content.position = block.at(block.ini.line);
  read_section(section, block);
}

struct Kind {
  std::string_view name;
  void (*read)(Sections& sections, SectionText& block, std::string_view name);
};

constexpr Kind kinds[] = {
    {"guard", read_guard}, {"gpu", read_gpu}, {"profile", read_profile}, {"quota", read_quota}};

void read_ini_section(Sections& sections, const std::string& file, const IniSection& ini,
                      LoadedConfig& loaded) {
  const std::string_view header = ini.header;
  const size_t blank = std::min(header.find_first_of(" \t"), header.size());
  const std::string_view word = header.substr(0, blank);
  const std::string_view name = trim(header.substr(blank));
  std::array<std::string_view, std::size(kinds)> words;
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = kinds[i].name;
    if (word != kinds[i].name) continue;
    std::string title = "[" + std::string(word);
    if (!name.empty()) title += " " + std::string(name);
    SectionText block{title + "]", file, ini, loaded.problems, loaded.unsupported};
    return kinds[i].read(sections, block, name);
  }
  loaded.problems.push_back(
      {{file, ini.line},
       "unknown section " + in_quotes("[" + ini.header + "]") + "; " + suggestion(word, words)});
}

void read_one_file(Sections& sections, const std::string& file, LoadedConfig& loaded) {
  std::vector<ConfigProblem>& problems = loaded.problems;
  std::optional<std::string> text;
  try {
    text = read_file(file, largest_file);
  } catch (const SystemError& e) {
    const std::string why = e.code == EINVAL ? "not a regular file" : errno_text(e.code);
    return problems.push_back({{file, 0}, "cannot be read: " + why});
  } catch (const Error&) {
    return problems.push_back({{file, 0}, "cannot be read: larger than 16 MiB"});
  }
  if (!text) return problems.push_back({{file, 0}, "cannot be read: " + errno_text(ENOENT)});
  IniFile ini = parse_ini(*text);
  for (IniProblem& problem : ini.problems)
    problems.push_back({{file, problem.line}, std::move(problem.message)});
  for (const IniSection& section : ini.sections) read_ini_section(sections, file, section, loaded);
}

/// What only all files together can tell.
void check_sections(Sections& sections, std::vector<ConfigProblem>& problems) {
  for (auto& gpu : sections.gpus) check(gpu, problems);
  std::vector<std::string_view> names;
  for (auto& profile : sections.profiles) {
    check(profile, problems);
    check_migration(profile, sections.guard.content, problems);
    names.push_back(profile.content.name);
  }
  for (auto& quota : sections.quotas) check(quota, names, problems);
}

/// The problems come from several rounds over the files; people read a file from its top.
void sort_by_place(std::vector<ConfigProblem>& problems, const std::vector<std::string>& files) {
  const auto number_of = [&](const ConfigProblem& problem) {
    return std::find(files.begin(), files.end(), problem.position.file) - files.begin();
  };
  std::stable_sort(
      problems.begin(), problems.end(), [&](const ConfigProblem& a, const ConfigProblem& b) {
        return std::pair(number_of(a), a.position.line) < std::pair(number_of(b), b.position.line);
      });
}

template <typename Content>
std::vector<Content> usable_contents(std::vector<Section<Content>>& sections) {
  std::vector<Content> result;
  for (Section<Content>& section : sections)
    if (section.usable) result.push_back(std::move(section.content));
  return result;
}

}  // namespace

std::string to_string(const ConfigProblem& problem) {
  const std::string position = to_string(problem.position);
  return position.empty() ? problem.message : position + ": " + problem.message;
}

std::vector<std::string> config_files(const Root& root) {
  std::vector<std::string> files;
  const std::string main_file = root.etc("gpuward/gpuward.conf");
  if (exists(main_file)) files.push_back(main_file);
  const std::string directory = root.etc("gpuward/conf.d");
  for (const std::string& name : list_directory(directory)) {
    if (!name.ends_with(".conf") || name.starts_with('.')) continue;
    files.push_back(directory);
    files.back() += "/" + name;
  }
  return files;
}

static std::vector<Untrusted> untrusted_of(const Root& root, std::vector<std::string> paths) {
  // Also where a file could be put. A directory that is missing would be put beside gpuward.conf.
  if (const std::string directory = root.etc("gpuward/conf.d"); paths.empty() || exists(directory))
    paths.push_back(directory);
  std::vector<Untrusted> all;
  for (const std::string& path : paths)
    for (Untrusted& untrusted : find_untrusted(root, path))
      if (std::none_of(all.begin(), all.end(),
                       [&](const Untrusted& other) { return other.path == untrusted.path; }))
        all.push_back(std::move(untrusted));
  return all;
}

std::vector<Untrusted> untrusted_config(const Root& root) {
  return untrusted_of(root, config_files(root));
}

LoadedConfig load_host_config(const Root& root) try {
  std::vector<std::string> files = config_files(root);
  LoadedConfig loaded = load_config(files);
  for (const Untrusted& untrusted : untrusted_of(root, std::move(files)))
    loaded.problems.push_back(
        {{untrusted.path, 0}, untrusted.found + "; run: " + untrusted.command});
  return loaded;
} catch (const Error& error) {  // which files there are is unknown
  LoadedConfig loaded;
  loaded.problems.push_back({{"/etc/gpuward", 0}, error.what()});
  return loaded;
}

LoadedConfig load_config(const std::vector<std::string>& files) {
  LoadedConfig loaded;
  Sections sections;
  for (const std::string& file : files) read_one_file(sections, file, loaded);
  check_sections(sections, loaded.problems);
  sort_by_place(loaded.problems, files);
  sort_by_place(loaded.unsupported, files);
  loaded.config.guard = sections.guard.content;
  loaded.config.gpus = usable_contents(sections.gpus);
  loaded.config.profiles = usable_contents(sections.profiles);
  loaded.config.quotas = usable_contents(sections.quotas);
  return loaded;
}

}  // namespace gpuward
