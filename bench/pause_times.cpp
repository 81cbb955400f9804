// SPDX-License-Identifier: LGPL-2.1-or-later
// How long guests stand still when they are paused and something resumes them: from QEMU's own STOP
// event to its RESUME event, by the time that QEMU puts into each.
//
//   pause_times ROUNDS each|burst    suspends every running domain, one after the other when the
//   last
//                                    one runs again, or all without waiting
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

struct Times {
  std::map<std::string, double> stopped;  // ms, of domains that stand still
  std::vector<double> still;              // ms
};

static void on_event(virConnectPtr, virDomainPtr domain, const char* event, long long seconds,
                     unsigned micros, const char*, void* opaque) {
  auto& times = *static_cast<Times*>(opaque);
  const double now = static_cast<double>(seconds) * 1e3 + micros / 1e3;
  const std::string name = virDomainGetName(domain);
  if (std::strcmp(event, "STOP") == 0) {
    times.stopped[name] = now;
  } else if (const auto found = times.stopped.find(name); found != times.stopped.end()) {
    times.still.push_back(now - found->second);
    times.stopped.erase(found);
  }
}

static double part(const std::vector<double>& sorted, double share) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(std::lround(share * last))];
}

static bool wait_for(const Times& times, size_t count) {
  while (times.still.size() < count)
    if (virEventRunDefaultImpl() < 0) return false;
  return true;
}

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: pause_times ROUNDS each|burst\n"), 2;
  const int rounds = std::atoi(argv[1]);
  const bool burst = std::strcmp(argv[2], "burst") == 0;
  virEventRegisterDefaultImpl();
  const virConnectPtr connection = virConnectOpen("qemu:///system");
  if (!connection) return 1;
  Times times;
  for (const char* event : {"STOP", "RESUME"})
    if (virConnectDomainQemuMonitorEventRegister(connection, nullptr, event, on_event, &times,
                                                 nullptr, 0) < 0)
      return 1;
  virDomainPtr* domains = nullptr;
  const int count =
      virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_RUNNING);
  if (count <= 0) return 1;
  size_t paused = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < count; ++i) {
      if (virDomainSuspend(domains[i]) < 0) return 1;
      ++paused;
      if (!burst && !wait_for(times, paused)) return 1;
    }
    if (!wait_for(times, paused)) return 1;
  }
  std::sort(times.still.begin(), times.still.end());
  std::printf("%d domains, %s, %zu pauses: median %.2f ms, p99 %.2f ms, most %.2f ms\n", count,
              argv[2], times.still.size(), part(times.still, 0.5), part(times.still, 0.99),
              times.still.back());
}
