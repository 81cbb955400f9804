// SPDX-License-Identifier: LGPL-2.1-or-later
// How long the decision takes which GPUs a domain gets, on hosts of many: no file is read.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "allocation/choose_device.hpp"
#include "allocation/place_several.hpp"

using namespace gpuward;

static constexpr unsigned gpus_of_domain = 8;

static Profile profile(Use use, const std::vector<std::string>& types) {
  Profile result;
  result.name = "bench";
  result.use = use;
  result.types = types;
  return result;
}

/// Cards of 64 VFs that each have room for one vGPU of two types.
struct Host {
  std::vector<Candidate> candidates;
  std::map<std::string, CardToPlaceOn> cards;
  std::vector<PoolDevice> pool;
};

static PciAddress address(unsigned card, unsigned vf) {
  return {static_cast<uint16_t>(card / 200), static_cast<uint8_t>(card % 200 + 1),
          static_cast<uint8_t>(vf / 8), static_cast<uint8_t>(vf % 8)};
}

/// Four below a switch.
static GpuSpot spot(unsigned card) {
  const PciAddress port{card / 200, 0, static_cast<uint8_t>(card / 16 % 32), 0};
  const PciAddress upstream{card / 200, 1, static_cast<uint8_t>(card / 4 % 32), 0};
  const PciAddress downstream{card / 200, 2, static_cast<uint8_t>(card % 32), 0};
  return {address(card, 0), static_cast<int>(card % 2),
          BusPath{port, {port, upstream, downstream}}};
}

static Host host(unsigned cards, unsigned vfs) {
  Host host;
  for (unsigned card = 0; card < cards; ++card) {
    Gpu gpu;
    gpu.parent.name = to_string(address(card, 0));
    std::vector<GpuType> types;
    for (const unsigned mib : {2048U, 4096U}) {
      types.push_back({.id = "nvidia-" + std::to_string(mib), .memory_mib = mib, .one_size = true});
      types.back().most = 64;
      types.back().takes = {0, mib};
    }
    for (unsigned vf = 1; vf <= vfs; ++vf) {
      gpu.vfs.push_back(address(card, vf));
      gpu.mdev_parents.push_back(to_string(gpu.vfs.back()));
      for (GpuType& type : types) type.on.push_back({gpu.mdev_parents.back(), 1});
      for (unsigned rank = 0; rank < 2; ++rank)
        host.candidates.push_back(
            {gpu.mdev_parents.back(), types[rank].id, 1, rank, card % 2 == 0, gpu.parent.name});
    }
    host.cards[gpu.parent.name] = {card_room(gpu, types, {}), spot(card)};
    host.pool.push_back({address(card, 0), {}, static_cast<int>(card % 2), {address(card, 0)}});
  }
  return host;
}

static void place_mdevs(benchmark::State& state) {
  const Host all =
      host(static_cast<unsigned>(state.range(0)), static_cast<unsigned>(state.range(1)));
  const Profile wanted = profile(default_use, {"nvidia-2048", "nvidia-4096"});
  const std::vector<SeveralRequest> requests(gpus_of_domain, {wanted, all.candidates});
  for (auto run : state) {
    const auto chosen = place_several(requests, all.cards);
    if (!chosen) state.SkipWithError("no place");
    benchmark::DoNotOptimize(chosen);
  }
}
BENCHMARK(place_mdevs)->Args({16, 64})->Args({1000, 1})->Unit(benchmark::kMicrosecond);

static void choose_whole(benchmark::State& state) {
  const Host all = host(static_cast<unsigned>(state.range(0)), 0);
  const Profile wanted = profile(whole_use, {});
  const std::vector<DeviceRequest> requests(gpus_of_domain, {wanted, all.pool, {}});
  for (auto run : state) {
    std::vector<const PoolDevice*> chosen;
    choose_devices(requests, {{0}, {}}, chosen);
    if (!chosen.back()) state.SkipWithError("no place");
    benchmark::DoNotOptimize(chosen);
  }
}
BENCHMARK(choose_whole)->Arg(16)->Arg(1000)->Unit(benchmark::kMicrosecond);

BENCHMARK_MAIN();
