// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>
#include <cstring>
#include <exception>

#include "base/log.hpp"
#include "base/signals.hpp"
#include "polkit/permission.hpp"

using namespace gpuward;

static int usage(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("gpuward-polkit " GPUWARD_VERSION);
    return 0;
  }
  const bool asked = argc == 2 && std::strcmp(argv[1], "--help") == 0;
  std::fputs(
      "usage: gpuward-polkit PERMISSION DOMAIN_UUID DOMAIN_NAME [USER]\n"
      "\n"
      "Prints whether a client of libvirt may do something to a domain: 'allow', 'warn REASON' or\n"
      "'deny REASON'. PERMISSION is libvirt's name, such as suspend or migrate; USER is "
      "named\n"
      "in the journal. Called by polkit through /usr/share/polkit-1/rules.d/10-gpuward.rules. See "
      "gpuward-polkit(8).\n",
      asked ? stdout : stderr);
  return asked ? 0 : 2;
}

int main(int argc, char** argv) {
  set_up_signals();
  if (argc != 4 && argc != 5) return usage(argc, argv);
  const auto domain = parse_uuid(argv[2]);
  if (!domain) {
    std::fputs("gpuward-polkit: the second argument is not a UUID of a domain\n", stderr);
    return 2;
  }
  try {
    const PermissionAnswer answer = permission_answer(Root{}, argv[1], *domain, argv[3]);
    const std::string text = to_string(answer);
    // Here too, as Debian runs polkitd with --no-debug, which drops what a rule logs.
    log::start(log::To::journal, "gpuward-polkit",
               {{"GPUWARD_DOMAIN", argv[3]}, {"GPUWARD_UUID", to_string(*domain)}});
    if (text != "allow")
      log::entry(
          log::Severity::warning,
          answer.kind == PermissionAnswer::Kind::deny ? log::Message::call_denied
                                                      : log::Message::call_allowed,
          std::string(argv[1]) + " by " + (argc == 5 ? argv[4] : "another user") + ": " + text);
    std::puts(text.c_str());
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpuward-polkit: %s\n", error.what());
    return 1;
  }
}
