// SPDX-License-Identifier: LGPL-2.1-or-later
// Any bytes as two configuration files, cut at the first form feed: nothing is thrown, each problem
// is one line of UTF-8 with a place, and what is left of the configuration holds to its own rules.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/file.hpp"
#include "base/utf8.hpp"
#include "config/config_parser.hpp"
#include "config/names.hpp"

using namespace gpuward;

static void require(bool truth) {
  if (!truth) std::abort();
}

static Fd memory_file(std::string_view text) {
  Fd fd(::memfd_create("config", MFD_CLOEXEC));
  require(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return fd;
}

static std::string path_of(const Fd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

static void check_problem(const ConfigProblem& problem) {
  const std::string line = to_string(problem);
  require(problem.position.line > 0 && !problem.message.empty() && is_utf8(line));
  require(line.find('\n') == std::string::npos && line.find('\0') == std::string::npos);
}

static void check_profile(const Profile& profile, bool whole) {
  require(is_name(profile.name) &&
          std::all_of(profile.types.begin(), profile.types.end(), is_name));
  if (whole) require(profile.types.empty() == profile.memory_mib.has_value());
  if (whole && profile.compute_percent) require(profile.memory_mib.has_value());
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(text.find('\f'), text.size());
  const Fd first = memory_file(text.substr(0, cut));
  const Fd second = memory_file(text.substr(std::min(cut + 1, text.size())));
  const LoadedConfig loaded = load_config({path_of(first), path_of(second)});
  for (const ConfigProblem& problem : loaded.problems) check_problem(problem);
  for (const Profile& profile : loaded.config.profiles)
    check_profile(profile, loaded.problems.empty());
  for (const GpuSection& gpu : loaded.config.gpus)
    for (const InstanceCount& instance : gpu.instances) require(is_name(instance.type));
  return 0;
}
