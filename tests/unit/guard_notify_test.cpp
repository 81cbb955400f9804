// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/notify.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/file.hpp"
#include "fake_host.hpp"

namespace gpuward {
namespace {

/// A socket as systemd has it; a name that begins with '@' is an abstract one.
struct Manager {
  explicit Manager(const std::string& name) : fd(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Manager() { ::unsetenv("NOTIFY_SOCKET"); }
  std::string heard() const {
    char text[200];
    const ssize_t size = ::recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? "nothing" : std::string(text, static_cast<size_t>(size));
  }
  Fd fd;
};

TEST(Notify, tells_the_manager) {
  const TempDir directory;
  const Manager manager(directory / "notify");
  notify_manager("READY=1");
  EXPECT_EQ(manager.heard(), "READY=1");
}

TEST(Notify, tells_the_manager_through_an_abstract_socket) {
  const Manager manager("@gpuward-notify-test-" + std::to_string(::getpid()));
  notify_manager("STATUS=well");
  EXPECT_EQ(manager.heard(), "STATUS=well");
}

TEST(Notify, does_nothing_where_nobody_listens) {
  ::unsetenv("NOTIFY_SOCKET");
  notify_manager("READY=1");
  for (const std::string path : {"/nonexistent/notify", "relative", "", "@"}) {
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    notify_manager("READY=1");
  }
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  notify_manager("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace gpuward
