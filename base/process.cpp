// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/process.hpp"

#include <thread>

#include "base/file.hpp"
#include "base/text.hpp"

namespace gpuward {

namespace {

struct Stat {
  std::string command;
  char state = '?';
  uint64_t start = 0;
};

/// /proc/PID/stat (proc_pid_stat(5)): the command in parentheses, which may hold any character,
/// then state as field 3 and start time as field 22.
std::optional<Stat> read_stat(const Root& root, pid_t pid) {
  const auto text = read_attribute(root.proc(std::to_string(pid)) + "/stat");
  if (!text) return {};
  const auto open = text->find('('), close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return Stat{};
  const auto fields = split(trim(std::string_view(*text).substr(close + 1)), ' ');
  constexpr size_t first = 3, start = 22;
  Stat stat{text->substr(open + 1, close - open - 1)};
  if (!fields.front().empty()) stat.state = fields.front().front();
  if (fields.size() > start - first)
    stat.start = to_number<uint64_t>(fields[start - first]).value_or(0);
  return stat;
}

}  // namespace

Process identify(const Root& root, pid_t pid) {
  const auto stat = read_stat(root, pid);
  return {pid, stat ? stat->start : 0};
}

bool is_running(const Root& root, const Process& process) {
  if (!process) return false;
  const auto stat = read_stat(root, process.pid);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return false;
  if (process.start != 0 && stat->start != 0) return process.start == stat->start;
  return stat->command.find("gpuward") != std::string::npos;
}

void wait_until_ended(const Root& root, const Process& process,
                      std::chrono::milliseconds deadline) {
  if (!process) return;
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (is_running(root, process) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

std::string to_string(const Process& process) {
  std::string text = std::to_string(process.pid);
  if (process.start != 0) text += '@' + std::to_string(process.start);
  return text;
}

std::optional<Process> parse_process(std::string_view text) {
  const auto at = text.find('@');
  const auto pid = to_number<pid_t>(text.substr(0, at));
  if (!pid || *pid <= 0) return {};
  if (at == std::string_view::npos) return Process{*pid, 0};
  const auto start = to_number<uint64_t>(text.substr(at + 1));
  if (!start || *start == 0) return {};
  return Process{*pid, *start};
}

}  // namespace gpuward
