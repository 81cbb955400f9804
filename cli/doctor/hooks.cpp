// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/retried.hpp"
#include "base/text.hpp"
#include "cli/doctor/findings.hpp"
#include "domain/xml_document.hpp"

namespace gpuward {

using Severity = Finding::Severity;

Findings check_hook(const HostLayers& layers) {
  using State = HookLink::State;
  const std::string link = hook_link, program = hook_program;
  const std::string without = "; without the hook no domain is assigned a GPU and none is guarded";
  const std::string fix = hook_fix(layers);
  const auto finding = [&](Severity severity, const std::string& found, const std::string& how) {
    return Findings{{severity, "hook", link, found, how}};
  };
  switch (layers.link.state) {
    case State::absent:
      return finding(Severity::problem, "link does not exist" + without, fix);
    case State::turned_off:
      return finding(Severity::warning, "link points to /dev/null: the hook is disabled" + without,
                     fix + ", or ignore this if intended");
    case State::dangling:
      return finding(Severity::problem,
                     "link points to " + program + ", which does not exist" + without, fix);
    case State::foreign:
      return finding(
          Severity::problem,
          layers.link.target.empty() ? "not a link" : "link points to " + shown(layers.link.target),
          fix);
    case State::not_executable:
      return finding(Severity::problem, program + " is not executable, so libvirt skips the hook",
                     fix);
    case State::good:
      break;
  }
  if (layers.seen.seen == Tristate::yes) return {};
  return finding(Severity::problem, layers.seen.reason, fix);
}

/// What editors and packages leave beside a file, which libvirt runs all the same.
static bool is_leftover(std::string_view name) {
  for (const std::string_view end :
       {"~", ".bak", ".orig", ".old", ".swp", ".save", ".disabled", ".dpkg-old", ".dpkg-new",
        ".dpkg-dist", ".dpkg-tmp", ".dpkg-bak", ".rpmsave", ".rpmnew", ".rpmorig", ".ucf-old",
        ".ucf-dist"})
    if (name.ends_with(end)) return true;
  return name.starts_with('.') || name.starts_with('#');
}

static bool can_run(const Root& root, const std::string& program) {
  struct stat info;
  return ::stat(root.at(program).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         (info.st_mode & 0111);
}

/// Where `env` looks: libvirt hands hooks the PATH that systemd gave it.
static bool is_on_path(const Root& root, std::string_view name) {
  for (const char* directory :
       {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"})
    if (can_run(root, directory + std::string(name))) return true;
  return false;
}

static std::string first_bytes(const std::string& path) {
  std::array<char, 256> bytes;  // the kernel reads as many (BINPRM_BUF_SIZE)
  const Fd fd(retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  const ssize_t n = fd ? retried([&] { return ::read(fd.get(), bytes.data(), bytes.size()); }) : 0;
  return n > 0 ? std::string(bytes.data(), static_cast<size_t>(n)) : std::string();
}

/// Why the kernel does not run it; "" when it does.
static std::string why_it_cannot_run(const Root& root, const std::string& path) {
  const std::string begin = first_bytes(path);
  if (begin.starts_with("\177ELF")) return {};
  if (!begin.starts_with("#!")) return "script has no #! line and cannot be run";
  std::string_view line = std::string_view(begin).substr(2, begin.find('\n') - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string interpreter(line.substr(0, line.find_first_of(" \t")));
  if (interpreter.ends_with('\r'))
    return "script has Windows line ends, so its interpreter is not found";
  if (!can_run(root, interpreter)) return "interpreter " + shown(interpreter) + " cannot be run";
  if (base_name(interpreter) != "env") return {};
  const auto words = split(line, ' ');
  if (words.size() < 2 || words[1].empty() || words[1].starts_with('-')) return {};
  return is_on_path(root, words[1]) ? "" : "interpreter " + shown(words[1]) + " is not found";
}

static std::string owner_trouble(const struct stat& info) {
  if (info.st_uid != 0) return "owned by user " + std::to_string(info.st_uid) + " but run by root";
  if (info.st_mode & 022) return "writable by users other than root but run by root";
  return {};
}

static void check_other_hook(const Root& root, const std::string& path, Findings& findings) {
  const std::string object = path.substr(root.prefix.size());
  const std::string name(base_name(path));
  const auto add = [&](Severity severity, const std::string& found, const std::string& fix) {
    findings.push_back({severity, "hooks", object, found, fix});
  };
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return;
  if (base_name(read_link(path).value_or("")) == "gpuward-qemu-hook")
    add(Severity::problem, "runs gpuward's hook a second time", "rm " + object);
  if (const std::string trouble = owner_trouble(info); !trouble.empty())
    add(Severity::problem, trouble, "chown root:root " + object + "; chmod 755 " + object);
  if (const std::string trouble = why_it_cannot_run(root, path); !trouble.empty())
    add(Severity::problem, trouble + ", so no domain of this host starts",
        "fix the script, or chmod -x " + object);
  else if (is_leftover(name))
    add(Severity::warning, "probably a leftover file, which libvirt runs for every domain",
        "chmod -x " + object + ", or remove it");
  if (name == "qemu")
    add(Severity::warning,
        "runs before gpuward's hook; scripts of that name often bind GPUs to drivers, and if this "
        "one "
        "fails no domain starts",
        "check that the script does not change GPUs of gpuward");
}

Findings check_other_hooks(const Root& root) {
  Findings findings;
  for (const std::string& path : qemu_hooks(root))
    if (path != root.at(hook_link)) check_other_hook(root, path, findings);
  return findings;
}

}  // namespace gpuward
