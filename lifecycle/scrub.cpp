// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lifecycle/scrub.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/child_process.hpp"
#include "base/error.hpp"
#include "base/journal.hpp"
#include "base/message.hpp"
#include "base/pipe.hpp"
#include "base/quote.hpp"
#include "base/retried.hpp"
#include "base/signals.hpp"
#include "base/trusted_file.hpp"
#include "state/claim_store.hpp"
#include "state/quarantine.hpp"
#include "state/single_use.hpp"

namespace gpuward {

using std::chrono::milliseconds;

static std::string run(const Claim& owner, const ClaimedDevice& device, milliseconds deadline) {
  const std::string end = run_program(
      device.scrub,
      {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
       "GPUWARD_DEVICE=" + to_string(device.address),
       "GPUWARD_USE=" + std::string(use_word(device.use)), "GPUWARD_PROFILE=" + device.profile,
       "GPUWARD_DOMAIN_NAME=" + owner.name, "GPUWARD_DOMAIN_UUID=" + to_string(owner.domain)},
      deadline);
  return end.empty() ? end : "scrub program " + device.scrub + ' ' + end;
}

/// What gave the device back would have done, had it waited. The claim may have become one of the
/// domain's next run, elsewhere, and this device a part of it that is in quarantine.
static void finish(const Root& root, const Claim& owner, const ClaimedDevice& device,
                   const std::string& why) {
  const Claims claims(root);
  const auto lock = claims.lock_domain(owner.domain, std::chrono::minutes(1));
  auto claim = lock ? claims.find(owner.domain) : std::nullopt;
  if (!claim) return;
  const auto kept =
      std::find_if(claim->devices.begin(), claim->devices.end(), [&](const ClaimedDevice& other) {
        return is_same_device(other, device) && other.scrub_process.pid == ::getpid();
      });
  if (kept == claim->devices.end()) return;
  kept->scrub_process = {};
  kept->state = ClaimedDevice::State::quarantined;
  if (why.empty()) {
    if (device.one_time) mark_used(root, device.address, owner.domain, owner.name);
    clear_quarantine_record(root, device.address);
    claim->devices.erase(kept);
  }
  if (claim->devices.empty())
    claims.drop(claim->domain);
  else
    claims.write(*claim);
}

/// Nobody reads what we would log, and a lock of the logger may be held by a thread that we do not
/// have.
static void tell(const Claim& owner, const ClaimedDevice& device, const std::string& why) {
  const log::Field fields[] = {
      {"MESSAGE", domain_title(owner.name) + ": " + to_string(device.address) +
                      " remains quarantined: " + why + "; to retry run: gpuward reconcile"},
      {"MESSAGE_ID", std::string(log::id_of(log::Message::scrub_failed))},
      {"PRIORITY", "4"},
      {"SYSLOG_IDENTIFIER", "gpuward"},
      {"GPUWARD_DEVICE", to_string(device.address)},
      {"GPUWARD_DOMAIN", owner.name}};
  log::send_datagram(log::journal_socket, log::journal_entry(fields));
}

/// Nothing starts before the claim names this process: the hook may be killed at any time, and then
/// another would start the program a second time.
static bool is_told_to_go(int fd) {
  char byte;
  return retried([&] { return ::read(fd, &byte, 1); }) == 1;
}

/// The supervisor, which waits for the program: says to `answer` how it ended or, when nobody
/// listens any more, sees to the rest.
[[noreturn]] static void wait_for_program(const Root& root, const Claim& owner,
                                          const ClaimedDevice& device, milliseconds deadline,
                                          int go, int answer) try {
  ::setsid();
  set_up_signals();
  if (!is_told_to_go(go)) ::_exit(1);
  const int nothing = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(nothing, fd);  // libvirt waits for their end
  ::dup2(answer, 3);
  ::close_range(4, ~0U, 0);
  const std::string why = run(owner, device, deadline);
  const std::string text = '=' + why;
  // Only without a reader: beside one, the release itself finishes.
  if (retried([&] { return ::write(3, text.data(), text.size()); }) < 0) {
    finish(root, owner, device, why);
    if (!why.empty()) tell(owner, device, why);
  }
  ::_exit(0);
} catch (const std::exception& error) {
  tell(owner, device, error.what());
  ::_exit(1);
}

/// Nothing when there is none in time.
static std::optional<std::string> read_answer(int fd, milliseconds deadline) {
  pollfd wait{fd, POLLIN, 0};
  const int ready = retried([&] { return ::poll(&wait, 1, static_cast<int>(deadline.count())); });
  if (ready <= 0) return {};
  char text[1024];
  const ssize_t size = retried([&] { return ::read(fd, text, sizeof text); });
  return std::string(text, size > 0 ? static_cast<size_t>(size) : 0);
}

/// Starts the process that waits for the program. It is no child of ours but of init, which reaps
/// it: where the program takes long nobody here waits for its end, and the guard lives on. The pipe
/// has its pid, or the errno as a negative number. Throws SystemError.
static pid_t start_supervisor(const std::function<void()>& supervise) {
  Pipe pipe;
  const pid_t child = ::fork();
  if (child < 0) throw SystemError("cannot fork", errno);
  if (child == 0) {
    pid_t supervisor = ::fork();
    if (supervisor == 0) {
      pipe.writer.reset();  // or its end would not be seen where our parent is killed
      supervise();
    }
    if (supervisor < 0) supervisor = -errno;
    retried([&] { return ::write(pipe.writer.get(), &supervisor, sizeof supervisor); });
    ::_exit(0);
  }
  pipe.writer.reset();
  pid_t supervisor = -ECHILD;
  retried([&] { return ::read(pipe.reader.get(), &supervisor, sizeof supervisor); });
  retried([&] { return ::waitpid(child, nullptr, 0); });
  if (supervisor < 0) throw SystemError("cannot fork", -supervisor);
  return supervisor;
}

/// Throws SystemError: without it the supervisor waits without end.
static void signal_go(int fd) {
  if (retried([&] { return ::write(fd, "", 1); }) != 1)
    throw SystemError("cannot start the scrub program", errno);
}

std::string scrub(const Root& root, const Claim& owner, ClaimedDevice& device,
                  const Deadlines& deadlines) {
  if (device.scrub.empty()) return {};
  record_quarantine(root, owner, device);
  if (device.scrub == unknown_scrub)
    return "scrub program is unknown: the claim was re-created, or the domain was started with a "
           "configuration or XML that could not be parsed";
  if (const auto untrusted = find_untrusted(root, device.scrub); !untrusted.empty())
    return "scrub program not started: " + untrusted.front().path + ": " + untrusted.front().found;
  Pipe answer, go;
  const auto supervise = [&] {
    go.writer.reset();
    wait_for_program(root, owner, device, deadlines.scrub, go.reader.get(), answer.writer.get());
  };
  const pid_t supervisor = start_supervisor(supervise);
  answer.writer.reset();
  device.scrub_process = identify(root, supervisor);
  try {
    // Not in quarantine yet: gpuward-guard would point the domain at another device for the moment
    // that most scrubs take.
    Claims(root).update(owner, device);
    signal_go(go.writer.get());
  } catch (...) {
    go.writer.reset();  // the supervisor ends
    device.scrub_process = {};
    throw;
  }
  if (const auto text = read_answer(answer.reader.get(), deadlines.scrub_answer_wait())) {
    device.scrub_process = {};
    return text->starts_with('=') ? text->substr(1) : "scrub supervisor process was killed";
  }
  return "scrub program still running (process " + std::to_string(supervisor) + ")";
}

}  // namespace gpuward
