// SPDX-License-Identifier: LGPL-2.1-or-later
#include <malloc.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <string>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/lock.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"
#include "guard/notify.hpp"
#include "guard/service.hpp"
#include "libvirt/client.hpp"
#include "state/paths.hpp"

using namespace gpuward;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// SIGTERM, SIGINT and SIGHUP as a descriptor; blocked in all threads.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, signal);
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    fd_ = Fd(::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd_) throw SystemError("cannot create a signalfd", errno);
  }
  int fd() const { return fd_.get(); }

  /// Notes what has arrived.
  void take() {
    signalfd_siginfo info;
    while (::read(fd_.get(), &info, sizeof info) == sizeof info)  // SFD_NONBLOCK: no EINTR
      (info.ssi_signo == SIGHUP ? reload : end) = true;
  }
  void wait(milliseconds at_most) {
    pollfd wait{fd_.get(), POLLIN, 0};
    ::poll(&wait, 1, static_cast<int>(at_most.count()));
    take();
  }

  bool end = false;
  bool reload = false;

 private:
  sigset_t set_;
  Fd fd_;
};

/// libvirt's open may wait for a daemon that only starts or is blocked. Whoever wants us to
/// end meanwhile gets it at once: nothing is under way that could be left half done.
class EndAtOnce {
 public:
  EndAtOnce() { mask(SIG_UNBLOCK); }
  ~EndAtOnce() { mask(SIG_BLOCK); }
  EndAtOnce(const EndAtOnce&) = delete;
  EndAtOnce& operator=(const EndAtOnce&) = delete;

 private:
  static void mask(int how) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
    ::pthread_sigmask(how, &set, nullptr);
  }
};

struct Daemon {
  std::string uri = "qemu:///system";
  Root root;
  Signals signals;
  bool closed = false;  ///< the connection is over
  std::string trouble;  ///< the last reason why libvirt could not be reached

  /// Until libvirt goes or we are to go.
  void serve(GuardService& guard) {
    closed = false;
    std::shared_ptr<LibvirtConnection> connection;
    {
      const EndAtOnce while_connecting;
      connection = std::make_shared<LibvirtConnection>(
          uri, [&guard](const DomainEvent& event) { guard.event(event); },
          [this](const std::string& why) {
            closed = true;
            trouble = why;
          });
    }
    log::info("connected to " + uri);
    guard.connected(connection);
    while (!closed && !signals.end) {
      run_event_loop_once();
      if (std::exchange(signals.reload, false)) guard.reload();
    }
    guard.disconnected();
    if (closed) {
      log::entry(log::Severity::warning, log::Message::connection_lost, trouble + ", reconnecting");
      notify_manager("STATUS=" + trouble + ", reconnecting");
    }
  }

  void say_unreachable(const std::string& why, milliseconds next) {
    notify_manager("STATUS=" + why + ", retrying in " + std::to_string(next.count() / 1000) + " s");
    if (why != trouble)
      log::entry(log::Severity::warning, log::Message::connection_lost,
                 why + ", retrying every 1 to 30 s");
    trouble = why;
  }

  void run(GuardService& guard) {
    milliseconds pause = seconds(1);
    while (!signals.end) {
      try {
        serve(guard);
        pause = seconds(1);
      } catch (const LibvirtError& error) {
        say_unreachable(error.what(), pause);
      }
      if (signals.end) break;
      signals.wait(pause);
      pause = std::min<milliseconds>(pause * 2, seconds(30));
    }
  }
};

/// Only where the unit has WatchdogSec=; ours has not, as being asked every few seconds is waking
/// up every few seconds.
void feed_watchdog() {
  const char* text = std::getenv("WATCHDOG_USEC");
  const auto usec = text ? to_number<unsigned>(text) : std::nullopt;
  if (usec && *usec > 0) every(milliseconds(*usec / 2000), [] { notify_manager("WATCHDOG=1"); });
}

/// By it `gpuward doctor` knows that the guard runs. No reason not to run.
std::optional<Lock> hold_guard_lock(const Root& root) try {
  make_directories(paths::run(root));
  auto lock = Lock::acquire(paths::locks(root), lock_number::guard, seconds(3));
  if (!lock) log::warning("another gpuward-guard is running on this host");
  return lock;
} catch (const Error& error) {
  log::warning(std::string("'gpuward doctor' cannot see that the guard is running: ") +
               error.what());
  return {};
}

int run(Daemon& daemon) {
  const auto lock = hold_guard_lock(daemon.root);
  register_event_loop();
  when_readable(daemon.signals.fd(), [&] { daemon.signals.take(); });
  feed_watchdog();
  GuardService guard(daemon.root, daemon.uri);
  // Whoever waits for us waits for no libvirt: there may be none for long.
  notify_manager("READY=1\nSTATUS=Connecting to " + daemon.uri);
  daemon.run(guard);
  notify_manager("STOPPING=1");
  // A worker may block in libvirt with a QEMU that is blocked.
  if (!guard.stop(seconds(2))) std::_Exit(0);
  return 0;
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): out of memory before there is anything to tell
int main(int argc, char** argv) {
  set_up_signals();
  // One heap for all threads: they allocate little, and each heap of its own stays resident.
  ::mallopt(M_ARENA_MAX, 1);
  CLI::App app{
      "Revert pauses, migrations and hot-plug of domains with a GPU, which hooks cannot refuse."};
  std::string uri, prefix;
  app.add_option("--connect", uri, "system libvirt of this host to watch (default qemu:///system)");
  app.add_option("--root", prefix, "directory used as / (for tests)");
  app.set_version_flag("--version", "gpuward-guard " GPUWARD_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  log::start(std::getenv("JOURNAL_STREAM") ? log::To::service : log::To::terminal, "gpuward-guard");
  try {
    Daemon daemon;
    if (!uri.empty()) daemon.uri = uri;
    daemon.root.prefix = prefix;
    require_system_libvirt(daemon.root, daemon.uri);
    return run(daemon);
  } catch (const std::exception& error) {
    log::error(error.what());
    return 1;
  }
}
