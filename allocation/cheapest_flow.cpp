// SPDX-License-Identifier: LGPL-2.1-or-later
#include "allocation/cheapest_flow.hpp"

#include <deque>

namespace gpuward {

size_t CheapestFlow::add(size_t from, size_t to, int capacity, int cost) {
  const size_t way = ways_.size();
  ways_.push_back({to, capacity, cost});
  ways_.push_back({from, 0, -cost});
  ways_from_[from].push_back(way);
  ways_from_[to].push_back(way + 1);
  return way;
}

void CheapestFlow::use(size_t way) {
  --ways_[way].left;
  ++ways_[way ^ 1].left;
}

std::optional<int> CheapestFlow::send(size_t from, size_t to) {
  std::vector<std::optional<int>> costs(ways_from_.size());
  std::vector<size_t> reached_by(ways_from_.size());
  std::deque<size_t> changed{from};
  costs[from] = 0;
  // Bellman and Ford: ways back cost less than nothing.
  while (!changed.empty()) {
    const size_t node = changed.front();
    changed.pop_front();
    for (const size_t number : ways_from_[node]) {
      const Way& way = ways_[number];
      const int cost = *costs[node] + way.cost;
      if (way.left == 0 || (costs[way.to] && *costs[way.to] <= cost)) continue;
      costs[way.to] = cost;
      reached_by[way.to] = number;
      changed.push_back(way.to);
    }
  }
  if (!costs[to]) return {};
  for (size_t node = to; node != from; node = ways_[reached_by[node] ^ 1].to) use(reached_by[node]);
  return costs[to];
}

}  // namespace gpuward
