// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/retried.hpp"
#include "base/text.hpp"
#include "cli/doctor/findings.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

namespace {

using Severity = Finding::Severity;

constexpr size_t most_of_log = 4 << 20;

/// All denials of one kind.
struct Denials {
  int count = 0;
  bool enforced = false;  ///< at least one was more than a note
  time_t last = 0;
  std::string last_line;
};

/// "audit(1795273200.123:45)", in the kernel's lines as in auditd's.
time_t time_of(std::string_view line) {
  const auto at = line.find("audit(");
  if (at == std::string_view::npos) return 0;
  const std::string_view rest = line.substr(at + 6);
  return to_number<time_t>(rest.substr(0, rest.find('.'))).value_or(0);
}

void count(Denials& denials, std::string_view line, bool enforced) {
  ++denials.count;
  denials.enforced = denials.enforced || enforced;
  const time_t time = time_of(line);
  if (time < denials.last) return;
  denials.last = time;
  denials.last_line = line;
}

/// From where the denial itself is told: what precedes it is of the log.
std::string essence(const std::string& line, std::string_view word) {
  return shown(trim(std::string_view(line).substr(line.find(word))), 300);
}

void add(Findings& findings, const Denials& denials, time_t now, const std::string& who,
         std::string_view word, const std::string& fix) {
  if (denials.count == 0) return;
  const bool old = denials.last < now - time_t{24} * 60 * 60;
  const bool hurts = denials.enforced && !old;
  findings.push_back({hurts ? Severity::problem : Severity::warning, "denials", who,
                      who + " denied gpuward something " + std::to_string(denials.count) +
                          " time(s)" + (old ? ", not in the last 24 hours" : "") +
                          (denials.enforced ? "" : " (not enforced)") +
                          "; last line: " + essence(denials.last_line, word),
                      fix});
}

/// /dev/kmsg: a record for each read, EAGAIN behind the last, EPIPE for those that were lost.
std::string read_kernel_log(const std::string& path) {
  const Fd fd(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  std::string log;
  char record[8192];
  while (fd && log.size() < most_of_log) {
    const ssize_t n = ::read(fd.get(), record, sizeof record);
    if (n < 0 && (errno == EPIPE || errno == EINTR)) continue;
    if (n <= 0) break;
    log.append(record, static_cast<size_t>(n));
  }
  return log;
}

std::string read_end(const std::string& path) {
  const Fd fd(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!fd) return {};
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  const off_t from =
      size > static_cast<off_t>(most_of_log) ? size - static_cast<off_t>(most_of_log) : 0;
  std::string text(static_cast<size_t>(size > from ? size - from : 0), '\0');
  const ssize_t n = retried([&] { return ::pread(fd.get(), text.data(), text.size(), from); });
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

}  // namespace

Findings find_denials(std::string_view log, time_t now) {
  Denials apparmor, selinux;
  for (const std::string_view line : split(log, '\n')) {
    if (line.find("gpuward") == std::string_view::npos) continue;
    if (line.find("apparmor=\"DENIED\"") != std::string_view::npos) count(apparmor, line, true);
    if (line.find("avc:  denied") != std::string_view::npos)
      count(selinux, line, line.find("permissive=1") == std::string_view::npos);
  }
  Findings findings;
  add(findings, apparmor, now, "AppArmor", "apparmor=",
      "allow it in /etc/apparmor.d/local/usr.sbin.libvirtd (or local/usr.sbin.virtqemud) and "
      "'systemctl reload apparmor'");
  add(findings, selinux, now, "SELinux", "avc:",
      "ausearch -m avc -ts boot | grep gpuward | audit2allow -M gpuward-local; semodule -i "
      "gpuward-local.pp");
  return findings;
}

Findings check_denials(const Root& root, time_t now) {
  // With auditd the kernel hands it the lines and keeps none.
  return find_denials(
      read_kernel_log(root.dev("kmsg")) + read_end(root.at("/var/log/audit/audit.log")), now);
}

}  // namespace gpuward
