// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "cli/doctor.hpp"
#include "domain/document.hpp"

namespace gpuward {

using Severity = Finding::Severity;

Findings check_hook(const HostLayers& layers) {
  using State = HookLink::State;
  const std::string link = hook_link, program = hook_program;
  const std::string without = "; without it no domain gets a GPU and none is guarded";
  const auto finding = [&](Severity severity, const std::string& found, const std::string& fix) {
    return Findings{{severity, "hook", link, found, fix}};
  };
  const std::string make = "ln -sfn " + program + " " + link;
  const std::string daemon = layers.daemon ? layers.daemon->name : "libvirtd";
  switch (layers.link.state) {
    case State::absent:
      return finding(Severity::problem, "it is missing" + without,
                     make + "; systemctl reload " + daemon);
    case State::turned_off:
      return finding(Severity::warning, "it points to /dev/null: the hook is turned off" + without,
                     make + ", unless this is meant");
    case State::dangling:
      return finding(Severity::problem, "it points to " + program + ", which is missing" + without,
                     "install gpuward anew");
    case State::foreign:
      return finding(Severity::problem,
                     layers.link.target.empty() ? "it is no link"
                                                : "it points to " + shown(layers.link.target),
                     make);
    case State::not_executable:
      return finding(Severity::problem, program + " is not executable, so libvirt passes it over",
                     "chmod 755 " + program);
    case State::good:
      break;
  }
  if (layers.seen.seen == Known::yes) return {};
  return finding(Severity::problem, layers.seen.reason, "systemctl reload " + daemon);
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
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const ssize_t n = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : 0;
  return n > 0 ? std::string(bytes.data(), static_cast<size_t>(n)) : std::string();
}

/// Why the kernel does not run it; "" when it does.
static std::string why_it_cannot_run(const Root& root, const std::string& path) {
  const std::string begin = first_bytes(path);
  if (begin.starts_with("\177ELF")) return {};
  if (!begin.starts_with("#!")) return "it has no #! line, so it cannot be run";
  std::string_view line = std::string_view(begin).substr(2, begin.find('\n') - 2);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string interpreter(line.substr(0, line.find_first_of(" \t")));
  if (interpreter.ends_with('\r'))
    return "its lines end as on Windows, so its interpreter is not found";
  if (!can_run(root, interpreter))
    return "its interpreter " + shown(interpreter) + " cannot be run";
  if (base_name(interpreter) != "env") return {};
  const auto words = split(line, ' ');
  if (words.size() < 2 || words[1].empty() || words[1].starts_with('-')) return {};
  return is_on_path(root, words[1]) ? "" : "its interpreter " + shown(words[1]) + " is not found";
}

static std::string owner_trouble(const struct stat& info) {
  if (info.st_uid != 0)
    return "it belongs to user " + std::to_string(info.st_uid) + ", and root runs it";
  if (info.st_mode & 022) return "others than root may write it, and root runs it";
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
    add(Severity::problem, "it runs gpuward's hook once more", "rm " + object);
  if (const std::string trouble = owner_trouble(info); !trouble.empty())
    add(Severity::problem, trouble, "chown root:root " + object + "; chmod 755 " + object);
  if (const std::string trouble = why_it_cannot_run(root, path); !trouble.empty())
    add(Severity::problem, trouble + ", and no domain of this host starts",
        "mend it, or chmod -x " + object);
  else if (is_leftover(name))
    add(Severity::warning, "it looks like a leftover, and libvirt runs it for every domain",
        "chmod -x " + object + ", or remove it");
  if (name == "qemu")
    add(Severity::warning,
        "libvirt runs it before gpuward's hook; scripts of that name often bind GPUs to drivers, "
        "and "
        "where it fails no domain starts",
        "see that it leaves GPUs of gpuward alone");
}

Findings check_other_hooks(const Root& root) {
  Findings findings;
  for (const std::string& path : qemu_hooks(root))
    if (path != root.at(hook_link)) check_other_hook(root, path, findings);
  return findings;
}

}  // namespace gpuward
