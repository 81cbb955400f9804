// SPDX-License-Identifier: LGPL-2.1-or-later
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/log.hpp"
#include "base/signals.hpp"
#include "hooks/qemu_hook.hpp"

using namespace gpuward;

static int usage(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("gpuward-qemu-hook " GPUWARD_VERSION);
    return 0;
  }
  const bool asked = argc == 2 && std::strcmp(argv[1], "--help") == 0;
  std::fputs(
      "usage: gpuward-qemu-hook DOMAIN OPERATION SUB-OPERATION EXTRA < DOMAIN.xml\n"
      "\n"
      "libvirt's qemu hook of gpuward, called by libvirt through the link\n"
      "/etc/libvirt/hooks/qemu.d/50-gpuward. It prepares a domain's GPUs at 'prepare' and "
      "releases\n"
      "them at 'release'. See gpuward-qemu-hook(8).\n",
      asked ? stdout : stderr);
  return asked ? 0 : 2;
}

int main(int argc, char** argv) {
  if (argc < 3) return usage(argc, argv);
  // A session-mode libvirt runs the same hooks as an ordinary user, who has no GPUs to give.
  if (::geteuid() != 0) return 0;
  const HookCall call{argv[1], argv[2]};
  if (!handles(call.operation)) return 0;
  Deadlines deadlines;
  deadlines.end =
      Deadline::in((call.operation == "release" ? release_limit : prepare_limit) - limit_margin);
  const XmlInput input = read_xml(STDIN_FILENO, std::chrono::seconds(10));
  // The way of almost every domain on almost every host. Here as below nothing is buffered and
  // nothing needs an end of its own: what exit(3) runs is not worth its time.
  if (!input.may_have_gpu && input.has_end) ::_exit(0);

  set_up_signals();
  ::umask(022);
  log::start(log::To::journal, "gpuward-qemu-hook",
             {{"GPUWARD_DOMAIN", argv[1]}, {"GPUWARD_LAYER", "hook"}});
  if (!input.may_have_gpu) {  // a domain without a GPU is never refused, and this may be one
    log::warning(argv[1],
                 std::string("domain XML is incomplete (") +
                     (input.end == XmlInput::End::late ? "libvirt did not finish writing it"
                                                       : "</domain> is missing") +
                     "), not checked for GPUs");
    ::_exit(0);
  }
  ::_exit(run_qemu_hook(Root{}, call, input, deadlines));
}
