// SPDX-License-Identifier: LGPL-2.1-or-later
// Against libvirt's own mock driver, which lives inside the library and needs no daemon.
#include "guard/service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "base/deadline.hpp"
#include "base/file.hpp"
#include "fake_host.hpp"
#include "started_log.hpp"
#include "state/gpu_domain_marker.hpp"

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

/// Of libvirt's functions what the mock driver lacks of a domain whose monitor was used: that of
/// db02 adds a VFIO device and memory.
static std::atomic<bool> monitor_was_used = false;
static std::atomic<int> looks_at_record = 0, other_monitor_commands = 0;

extern "C" int virDomainGetMessages(virDomainPtr of, char*** messages, unsigned) {
  const bool is_its = virDomainGetName(of) == std::string("db02");
  const bool was_used = is_its && monitor_was_used;
  if (is_its) ++looks_at_record;
  *messages = static_cast<char**>(std::calloc(2, sizeof(char*)));
  if (was_used) **messages = ::strdup("tainted: custom monitor control commands issued");
  return was_used ? 1 : 0;
}

extern "C" int virDomainQemuMonitorCommand(virDomainPtr of, const char* command, char** result,
                                           unsigned) {
  if (virDomainGetName(of) != std::string("db02")) ++other_monitor_commands;
  const bool is_peripheral =
      std::string(command).find("\"/machine/peripheral\"") != std::string::npos;
  *result = ::strdup(is_peripheral ? R"({"return":[{"name":"more","type":"child<pc-dimm>"},)"
                                     R"({"name":"x","type":"child<vfio-pci>"}]})"
                                   : R"({"return":[]})");
  return 0;
}

namespace gpuward {
namespace {

const Uuid domain = *parse_uuid("6b1d3c52-9c07-4f10-8f6e-000000000001");

/// A domain that runs with a GPU, which it did not have when it started. Of libvirt's functions the
/// mock driver lacks virDomainGetJobStats, so a look at its job always fails.
class GuardServiceTest : public testing::Test {
 protected:
  GuardServiceTest() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    sockets_.journal = host_.root().prefix + "/journal";
    sockets_.journal.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(journal_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot listen");
    log_.emplace(log::To::journal, "gpuward-guard", sockets_);
    host_.pci_gpu("0000:41:00.0");
    host_.file("/libvirt.xml",
               "<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
               "<name>web01</name><uuid>" +
                   to_string(domain) +
                   "</uuid><memory>65536</memory><os><type>hvm</type></os><devices>"
                   "<hostdev mode='subsystem' type='pci' managed='yes'><source><address "
                   "domain='0' bus='0x41' slot='0' function='0'/></source>"
                   "<alias name='ua-gpuward-0'/></hostdev></devices>"
                   "<test:runstate>1</test:runstate></domain>" +
                   plain("db02") + plain("db03") + "</node>");
    const StartedDevices none;
    mark_gpu_domain(host_.root(), domain, "web01", &none);
  }
  static std::string plain(const std::string& name) {
    return "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>" +
           name +
           "</name><memory>65536</memory><os><type>hvm</type></os>"
           "<test:runstate>1</test:runstate></domain>";
  }
  /// The next entry in the journal that has this text; "" when none comes.
  std::string entry_with(const std::string& text) {
    const Deadline end = Deadline::in(seconds(60));
    pollfd wait{journal_.get(), POLLIN, 0};
    while (!end.is_over() && ::poll(&wait, 1, 60'000) == 1) {
      char entry[8192];
      const ssize_t size = ::recv(journal_.get(), entry, sizeof entry, 0);
      const std::string found(entry, size > 0 ? static_cast<size_t>(size) : 0);
      entries_ += found + '\n';
      if (found.find(text) != found.npos) return found;
    }
    return {};
  }
  std::unique_ptr<GuardService> connected_service(std::chrono::milliseconds sweep_interval) {
    register_event_loop();
    const std::string uri = "test://" + host_.root().prefix + "/libvirt.xml";
    auto service = std::make_unique<GuardService>(host_.root(), uri, sweep_interval);
    service->connected(std::make_shared<const LibvirtConnection>(
        uri, [](const DomainEvent&) {}, [](const std::string&) {}));
    return service;
  }
  FakeHost host_;
  Fd journal_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  log::Sockets sockets_;
  std::optional<StartedLog> log_;
  std::string entries_;
};

/// What notify_manager sends, as systemd receives it.
class Manager {
 public:
  explicit Manager(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot listen");
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~Manager() { ::unsetenv("NOTIFY_SOCKET"); }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Whether this status comes.
  bool gets(const std::string& status) {
    pollfd wait{socket_.get(), POLLIN, 0};
    while (::poll(&wait, 1, 10'000) == 1) {
      char state[1024];
      const ssize_t size = ::recv(socket_.get(), state, sizeof state, 0);
      if (std::string(state, size > 0 ? static_cast<size_t>(size) : 0) == status) return true;
    }
    return false;
  }

 private:
  Fd socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

/// The program itself tells systemd meanwhile that it reconnects.
TEST_F(GuardServiceTest, tells_systemd_when_it_is_connected_again) {
  Manager manager(host_.root().prefix + "/notify");
  register_event_loop();
  const std::string uri = "test://" + host_.root().prefix + "/libvirt.xml";
  const auto connect = [&] {
    return std::make_shared<const LibvirtConnection>(
        uri, [](const DomainEvent&) {}, [](const std::string&) {});
  };
  const std::string connected = "STATUS=Connected to " + uri + ", domains with a GPU: 1";
  GuardService service(host_.root(), uri);
  service.connected(connect());
  EXPECT_TRUE(manager.gets(connected));
  service.disconnected();
  service.connected(connect());
  EXPECT_TRUE(manager.gets(connected));
  EXPECT_TRUE(service.stop(seconds(60)));
}

TEST_F(GuardServiceTest, unplugs_a_gpu_though_the_job_cannot_be_read) {
  const auto service = connected_service(std::chrono::minutes(1));
  EXPECT_THAT(entry_with("retrying in"), HasSubstr("cannot read the job"));
  EXPECT_THAT(entries_, HasSubstr("unplug"));
  EXPECT_TRUE(service->stop(seconds(60)));
}

/// Of a domain without a GPU, too.
TEST_F(GuardServiceTest, finds_what_the_monitor_added_to_any_domain_when_it_connects) {
  monitor_was_used = true;
  other_monitor_commands = 0;
  const auto service = connected_service(std::chrono::minutes(1));
  EXPECT_THAT(entry_with("domain 'db02': unknown to libvirt"),
              HasSubstr("vfio-pci 'x' was added by QEMU's monitor"));
  EXPECT_TRUE(service->stop(seconds(60)));
  EXPECT_THAT(entries_, Not(HasSubstr("pc-dimm"))) << "which concerns no guard of this domain";
  EXPECT_EQ(other_monitor_commands, 0) << "of domains whose monitor was not used";
}

TEST_F(GuardServiceTest, finds_what_the_monitor_adds_to_any_domain_later) {
  monitor_was_used = false;
  looks_at_record = other_monitor_commands = 0;
  const auto service = connected_service(std::chrono::milliseconds(50));
  const Deadline end = Deadline::in(seconds(60));
  while (looks_at_record < 2 && !end.is_over())
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_GE(looks_at_record, 2) << "one when it connects";
  EXPECT_EQ(other_monitor_commands, 0);
  monitor_was_used = true;
  EXPECT_THAT(entry_with("domain 'db02': unknown to libvirt"), HasSubstr("vfio-pci 'x'"));
  EXPECT_TRUE(service->stop(seconds(60)));
}

}  // namespace
}  // namespace gpuward
