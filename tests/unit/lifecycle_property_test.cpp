// SPDX-License-Identifier: LGPL-2.1-or-later
// Random hosts, domains and requests through prepare_devices and release_devices, as the hook runs
// them: against the rules below, and against a search of all placements.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <set>

#include "allocation/quota.hpp"
#include "allocation/request_verdict.hpp"
#include "base/error.hpp"
#include "config/gpu_selector.hpp"
#include "domain_fixtures.hpp"
#include "lifecycle/prepare.hpp"
#include "lifecycle/release.hpp"
#include "pci_fixtures.hpp"
#include "random_host.hpp"
#include "state/claim_store.hpp"

namespace gpuward {
namespace {

using std::chrono::milliseconds;

/// A vGPU that the driver refuses is not tried twice, and nobody has a device open.
constexpr Deadlines deadlines{milliseconds(60'000), milliseconds(150), milliseconds(0)};

constexpr unsigned most_tenants = 20;

#ifdef __has_feature
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif
#if HAS_SANITIZER
constexpr unsigned default_hosts = 12;
#else
constexpr unsigned default_hosts = 48;
#endif

// ---- what is asked

/// One GPU of a domain, in the words of this test.
struct Wanted {
  Use use;
  std::vector<std::string> types{};  ///< any of them serves it
  std::optional<unsigned> mib{};     ///< of a fraction
  std::optional<Isolation> isolation{};
  std::string card{};  ///< the only one that its profile names, of mdevs; "" for any
  std::string address{};
  std::string counted_as{};  ///< by [quota]
  bool operator==(const Wanted&) const = default;
};

struct Asked {
  Domain domain;
  std::vector<Wanted> wanted;
};

std::vector<std::string> types_of(const RandomHost& host, RandomCard::Kind kind) {
  std::set<std::string> ids;
  for (const RandomCard& card : host.cards)
    if (card.kind == kind)
      for (const Kernel::Type& type : card.empty.types) ids.insert(type.id);
  return {ids.begin(), ids.end()};
}

std::optional<unsigned> memory_of_type(const RandomHost& host, const std::string& type) {
  for (const RandomCard& card : host.cards)
    if (type_at(card.empty, type)) return memory_of(card, type);
  return {};
}

template <typename Item>
const Item& one_of(Random& random, const std::vector<Item>& items) {
  return items[any(random, 0, static_cast<unsigned>(items.size()) - 1)];
}

/// Every kind of profile that the host can serve.
std::vector<Profile> random_profiles(Random& random, const RandomHost& host) {
  std::vector<Profile> profiles;
  const auto add = [&](Use use, const std::vector<std::string>& types, unsigned most_types) {
    Profile profile;
    profile.name = "p" + std::to_string(profiles.size());
    profile.use = use;
    profile.placement = any(random, 0, 1) ? Placement::binpack : Placement::spread;
    for (unsigned count = any(random, 1, most_types); count > 0 && !types.empty(); --count)
      if (const auto& type = one_of(random, types);
          std::find(profile.types.begin(), profile.types.end(), type) == profile.types.end())
        profile.types.push_back(type);
    if (use == Use::mdev && any(random, 0, 2) == 0)
      profile.gpus = {*parse_gpu_selector(one_of(random, host.cards).name)};
    profiles.push_back(profile);
  };
  const auto mdevs = types_of(host, RandomCard::Kind::mdevs);
  const auto vgpus = types_of(host, RandomCard::Kind::vgpus);
  for (int count = 0; count < 3 && !mdevs.empty(); ++count) add(Use::mdev, mdevs, 3);
  for (int count = 0; count < 2 && !vgpus.empty(); ++count) add(Use::vendor_vf, vgpus, 2);
  add(Use::vf, {}, 1);
  return profiles;
}

GpuSection random_section(Random& random, const RandomCard& card) {
  constexpr Use uses[] = {Use::mdev, Use::vendor_vf, Use::vf, Use::whole};
  GpuSection section;
  section.selector = *parse_gpu_selector(card.name);
  section.use = uses[static_cast<size_t>(card.kind)];
  for (const Kernel::Type& type : card.empty.types)
    if (any(random, 0, 4) == 0) section.max.push_back({type.id, any(random, 0, 6)});
  if (!card.empty.types.empty() && any(random, 0, 7) == 0)
    section.isolation = any(random, 0, 1) ? Isolation::memory : Isolation::memory_and_compute;
  return section;
}

std::vector<Quota> random_quotas(Random& random, const std::vector<Profile>& profiles) {
  std::vector<Quota> quotas;
  for (const char* const pattern : {"vm[01]", "owner:a", "vm*"}) {
    if (any(random, 0, 4) > 0) continue;
    Quota quota;
    quota.domains = *parse_domain_pattern(pattern);
    if (any(random, 0, 1)) quota.total = any(random, 1, 12);
    if (any(random, 0, 1)) quota.per_profile[one_of(random, profiles).name] = any(random, 0, 6);
    if (any(random, 0, 2) == 0) quota.memory_mib = 512 * any(random, 1, 40);
    quotas.push_back(quota);
  }
  return quotas;
}

/// `has_limits`: [quota] and [gpu] max, where there are any by chance.
Config random_config(Random& random, const RandomHost& host, bool has_limits) {
  Config config;
  for (const RandomCard& card : host.cards) config.gpus.push_back(random_section(random, card));
  config.profiles = random_profiles(random, host);
  if (!has_limits) {
    for (GpuSection& section : config.gpus) section.max.clear();
    return config;
  }
  config.quotas = random_quotas(random, config.profiles);
  // What a domain uses is placed first and counted then: with one type for each request the count
  // does not depend on the place.
  if (std::any_of(config.quotas.begin(), config.quotas.end(),
                  [](const Quota& quota) { return quota.memory_mib.has_value(); }))
    for (Profile& profile : config.profiles)
      if (!profile.types.empty()) profile.types.resize(1);
  return config;
}

// ---- domains

void add(Asked& asked, const Wanted& wanted, const std::string& text,
         const std::optional<SettledRequest>& settled) {
  const std::string alias = "ua-gpuward-" + std::to_string(asked.wanted.size());
  asked.wanted.push_back(wanted);
  asked.domain.requests.push_back({alias, text, settled});
  Hostdev hostdev;
  hostdev.alias = alias;
  if (wanted.use == Use::mdev) {
    hostdev.instance = instance_uuid(asked.domain.uuid, alias);
  } else {
    hostdev.type = Hostdev::Type::pci;
    hostdev.address = at(wanted.address);
    hostdev.managed = wanted.use != Use::vendor_vf;
  }
  asked.domain.hostdevs.push_back(hostdev);
}

/// A device that the domain's XML does not name yet.
std::string random_address(Random& random, const RandomHost& host, const Config& config,
                           const Asked& asked, Use use) {
  std::vector<std::string> addresses;
  for (size_t number = 0; number < host.cards.size(); ++number) {
    const RandomCard& card = host.cards[number];
    // Now and then one that is not given whole.
    const bool fits = config.gpus[number].use == use;
    if (use == Use::whole && card.is_whole_too && (fits || any(random, 0, 7) == 0))
      addresses.push_back(card.name);
    if (use != Use::whole && fits)
      addresses.insert(addresses.end(), card.parts.begin(), card.parts.end());
  }
  std::erase_if(addresses, [&](const std::string& address) {
    return std::any_of(asked.wanted.begin(), asked.wanted.end(),
                       [&](const Wanted& other) { return other.address == address; });
  });
  return addresses.empty() ? "" : one_of(random, addresses);
}

void add_profile(Random& random, const RandomHost& host, const Config& config, Asked& asked) {
  const Profile& profile = one_of(random, config.profiles);
  Wanted wanted{profile.use, profile.types};
  wanted.counted_as = profile.name;
  if (!profile.gpus.empty()) wanted.card = to_string(profile.gpus[0]);
  if (profile.use != Use::mdev)
    wanted.address = random_address(random, host, config, asked, profile.use);
  if (profile.use == Use::mdev || !wanted.address.empty()) add(asked, wanted, profile.name, {});
}

/// By memory, as attach settled it; or by type, where no memory is said.
void add_settled(Random& random, const RandomHost& host, const Config& config, Use use,
                 Asked& asked) {
  const auto types =
      types_of(host, use == Use::mdev ? RandomCard::Kind::mdevs : RandomCard::Kind::vgpus);
  if (types.empty()) return;
  const std::string& type = one_of(random, types);
  Wanted wanted{use, {type}};
  wanted.counted_as = type;
  std::string text = type;
  const auto memory = memory_of_type(host, type);
  if (any(random, 0, 9) < (memory ? 8U : 1U)) {
    const unsigned most = memory.value_or(1024);
    // Now and then more than the type has: the author of the XML may have written another.
    wanted.mib = any(random, 0, 9) ? 128 * any(random, 1, most / 128) : most + 128;
    const bool has_share = any(random, 0, use == Use::mdev ? 6 : 1) == 0;
    wanted.isolation = has_share ? Isolation::memory_and_compute : Isolation::memory;
    text = std::to_string(*wanted.mib) + "MiB" + (has_share ? "/25%" : "");
  }
  if (use != Use::mdev) wanted.address = random_address(random, host, config, asked, use);
  if (use == Use::mdev || !wanted.address.empty())
    add(asked, wanted, text, SettledRequest{use, type});
}

void add_whole(Random& random, const RandomHost& host, const Config& config, Asked& asked) {
  Wanted wanted{Use::whole};
  wanted.counted_as = "whole";
  wanted.address = random_address(random, host, config, asked, Use::whole);
  if (!wanted.address.empty()) add(asked, wanted, "whole", SettledRequest{});
}

Asked random_domain(Random& random, const RandomHost& host, const Config& config, unsigned number) {
  Asked asked;
  asked.domain.uuid.bytes[15] = static_cast<uint8_t>(number + 1);
  asked.domain.name = "vm" + std::to_string(number);
  if (number % 2) asked.domain.owner = number % 3 ? "a" : "b";
  const bool has_many_of_one = host.cards.size() == 1 || any(random, 0, 2) == 0;
  for (unsigned count = has_many_of_one ? 1 : any(random, 1, 4); count > 0; --count) {
    const unsigned kind = has_many_of_one ? 5 : any(random, 0, 11);
    if (kind < 5)
      add_profile(random, host, config, asked);
    else if (kind < 8)
      add_settled(random, host, config, Use::mdev, asked);
    else if (kind < 10)
      add_settled(random, host, config, Use::vendor_vf, asked);
    else
      add_whole(random, host, config, asked);
  }
  if (!has_many_of_one || asked.wanted.empty()) return asked;
  const Wanted wanted = asked.wanted[0];
  const GpuRequest request = asked.domain.requests[0];
  // Twice ten are as many fractions as there may be.
  for (unsigned count = any(random, 0, 1) ? 9 : any(random, 0, 15); count > 0; --count)
    add(asked, wanted, request.profile, request.settled);
  return asked;
}

/// For who has to understand a failure.
std::string to_string(const Asked& asked) {
  std::string text = asked.domain.name + " requests";
  for (size_t number = 0; number < asked.wanted.size(); ++number) {
    const Wanted& wanted = asked.wanted[number];
    text += (number ? ", " : " ") + asked.domain.requests[number].profile + " (" +
            std::string(use_word(wanted.use)) + ' ' + wanted.address;
    for (const std::string& type : wanted.types) text += ' ' + type;
    text += ')';
  }
  return text;
}

// ---- what holds

/// A card with what domains have of it.
struct Taken {
  const RandomCard& card;
  const GpuSection& section;
  Kernel kernel;
  std::vector<Isolation> tenants{};
  std::map<std::string, unsigned> of_type{};
  std::set<std::string> addresses{};  ///< of PCI devices
  std::set<std::string> broken{};     ///< types that the kernel refuses for now

  bool takes_tenant(Isolation wanted) const {
    return section.isolation.value_or(wanted) == wanted && tenants.size() < most_tenants &&
           std::count(tenants.begin(), tenants.end(), wanted) ==
               static_cast<std::ptrdiff_t>(tenants.size());
  }
  bool is_below_max(const std::string& type) const {
    const auto used = of_type.find(type);
    return std::none_of(section.max.begin(), section.max.end(), [&](const InstanceCount& max) {
      return max.type == type && (used == of_type.end() ? 0 : used->second) >= max.count;
    });
  }
  /// By all rules of a request for this type.
  bool takes(const Wanted& wanted, size_t type) const {
    const std::string& id = kernel.types[type].id;
    return std::find(wanted.types.begin(), wanted.types.end(), id) != wanted.types.end() &&
           (wanted.card.empty() || wanted.card == card.name) && !broken.contains(id) &&
           kernel.fits(kernel.types[type]) && is_below_max(id) &&
           (!wanted.mib || memory_of(card, id) >= wanted.mib) &&
           (!wanted.isolation || takes_tenant(*wanted.isolation));
  }
  void take(size_t type, const std::optional<Isolation>& isolation) {
    const std::string& id = kernel.types[type].id;
    if (!kernel.create(type)) throw std::logic_error("over capacity: " + id + " on " + card.name);
    ++of_type[id];
    if (isolation) tenants.push_back(*isolation);
  }
};

bool has_part(const RandomCard& card, const std::string& part) {
  return card.name == part ||
         std::find(card.parts.begin(), card.parts.end(), part) != card.parts.end();
}

std::string place_of(const ClaimedDevice& device) {
  return is_mediated(device.use) ? device.parent : to_string(device.address);
}

/// One after the other, so that a rule that claims break together shows at the one that breaks it.
void take(const ClaimedDevice& device, std::vector<Taken>& cards) {
  const std::string place = place_of(device);
  for (Taken& taken : cards) {
    if (!has_part(taken.card, place)) continue;
    const bool is_vf = taken.card.name != place;
    if (!is_mediated(device.use) || is_vf) {
      EXPECT_TRUE(taken.addresses.insert(place).second) << place << " is claimed twice";
    }
    if (device.use == Use::whole) {
      EXPECT_TRUE(taken.kernel.present.empty()) << place << " has instances and a guest";
    }
    if (const auto type = type_at(taken.kernel, device.type)) {
      EXPECT_TRUE(is_vf || !taken.addresses.contains(place)) << place << " is given whole";
      EXPECT_TRUE(taken.is_below_max(device.type)) << "max of " << device.type << " on " << place;
      if (device.fraction) {
        EXPECT_TRUE(taken.takes_tenant(*device.fraction)) << "tenants of " << taken.card.name;
      }
      taken.take(*type, device.fraction);
    }
    return;
  }
  ADD_FAILURE() << place << " is no device of the host";
}

std::vector<Taken> taken_cards(const RandomHost& host, const Config& config,
                               const std::vector<Claim>& claims) {
  std::vector<Taken> cards;
  for (size_t number = 0; number < host.cards.size(); ++number)
    cards.push_back({host.cards[number], config.gpus[number], host.cards[number].empty});
  for (const Claim& claim : claims)
    for (const ClaimedDevice& device : claim.devices) take(device, cards);
  return cards;
}

/// What the kernel has is what the claims say.
void expect_in_kernel(const RandomHost& host, const std::vector<Claim>& claims) {
  std::map<Uuid, std::string> instances;
  std::map<std::string, std::string> vgpus;
  for (const RandomCard& card : host.cards)
    for (const std::string& vf : card.parts)
      if (card.kind == RandomCard::Kind::vgpus) vgpus[vf] = "0";
  for (const Claim& claim : claims) {
    EXPECT_TRUE(claim.completed);
    for (const ClaimedDevice& device : claim.devices) {
      EXPECT_EQ(device.state, ClaimedDevice::State::claimed);
      if (is_mediated(device.use)) {
        EXPECT_TRUE(instances.emplace(device.instance, device.parent + '/' + device.type).second);
      }
      if (device.use == Use::vendor_vf) vgpus[to_string(device.address)] = device.type;
    }
  }
  EXPECT_EQ(host.fake.instances(), instances);
  for (const auto& [vf, type] : vgpus) EXPECT_EQ(host.current_vgpu(vf), type) << vf;
}

// ---- quota

/// What is counted of domains; without a number of MiB where that of one GPU is not known.
struct Counted {
  std::map<std::string, unsigned> gpus{};
  std::optional<unsigned> mib = 0;

  void add(const std::string& profile, const std::optional<unsigned>& memory) {
    ++gpus[profile];
    ++gpus["total"];
    if (mib && memory)
      *mib += *memory;
    else
      mib.reset();
  }
};

bool is_within(const Quota& quota, const Counted& used) {
  const auto number = [&](const std::string& of) {
    const auto found = used.gpus.find(of);
    return found == used.gpus.end() ? 0 : found->second;
  };
  return number("total") <= quota.total.value_or(~0U) &&
         std::all_of(quota.per_profile.begin(), quota.per_profile.end(),
                     [&](const auto& limit) { return number(limit.first) <= limit.second; }) &&
         (!quota.memory_mib || (used.mib && *used.mib <= *quota.memory_mib));
}

/// Of the sections by name the first that means the domain, and of those by owner.
std::vector<const Quota*> quotas_for(const Config& config, const std::string& name,
                                     const std::string& owner) {
  std::vector<const Quota*> quotas;
  for (const auto by : {DomainPattern::By::name, DomainPattern::By::owner})
    for (const Quota& quota : config.quotas)
      if (quota.domains.by == by && matches(quota.domains, name, owner)) {
        quotas.push_back(&quota);
        break;
      }
  return quotas;
}

Counted counted(const RandomHost& host, const Config& config, const Quota& quota,
                const std::vector<Claim>& claims) {
  Counted used;
  for (const Claim& claim : claims) {
    const auto quotas = quotas_for(config, claim.name, claim.owner);
    if (std::find(quotas.begin(), quotas.end(), &quota) == quotas.end()) continue;
    for (const ClaimedDevice& device : claim.devices)
      used.add(device.profile, memory_of_type(host, device.type));
  }
  return used;
}

bool is_within_quotas(const RandomHost& host, const Config& config,
                      const std::vector<Claim>& others, const Asked& asked) {
  for (const Quota* const quota : quotas_for(config, asked.domain.name, asked.domain.owner)) {
    Counted used = counted(host, config, *quota, others);
    const Counted before = used;
    for (const Wanted& wanted : asked.wanted)
      used.add(wanted.counted_as,
               wanted.types.empty() ? std::nullopt : memory_of_type(host, wanted.types[0]));
    if (!is_within(*quota, used)) return false;
  }
  return true;
}

// ---- whether there is a place

/// Whether all mdevs from this one on have a place; equal requests only in one order.
bool have_places(const std::vector<Wanted>& mdevs, size_t number, size_t first,
                 std::vector<Taken>& cards) {
  if (number == mdevs.size()) return true;
  const Wanted& wanted = mdevs[number];
  const bool is_as_before = number > 0 && mdevs[number - 1] == wanted;
  size_t option = 0;
  for (Taken& taken : cards)
    for (size_t type = 0; type < taken.kernel.types.size(); ++type, ++option) {
      if (taken.section.use != Use::mdev || taken.addresses.contains(taken.card.name) ||
          (is_as_before && option < first) || !taken.takes(wanted, type))
        continue;
      const auto left = taken.kernel.left;
      taken.take(type, wanted.isolation);
      if (have_places(mdevs, number + 1, option, cards)) return true;
      taken.kernel.left = left;
      taken.kernel.present.pop_back();
      --taken.of_type[taken.kernel.types[type].id];
      if (wanted.isolation) taken.tenants.pop_back();
    }
  return false;
}

/// Of PCI devices the XML names the address, and of vGPUs each in order gets the first type of its
/// profile that the driver lists.
bool gets_pci_device(const Wanted& wanted, std::vector<Taken>& cards) {
  for (Taken& taken : cards) {
    if (!has_part(taken.card, wanted.address)) continue;
    if (taken.section.use != wanted.use || !taken.addresses.insert(wanted.address).second)
      return false;
    if (wanted.use == Use::whole) return taken.kernel.present.empty();
    if (wanted.use == Use::vf) return true;
    Wanted any_memory = wanted;  // the type is chosen first
    any_memory.mib.reset();
    for (const std::string& id : wanted.types) {
      const auto type = type_at(taken.kernel, id);
      if (!type || !taken.takes(any_memory, *type)) continue;
      if (!taken.takes(wanted, *type)) return false;
      taken.take(*type, wanted.isolation);
      return true;
    }
  }
  return false;
}

bool has_place(const Asked& asked, std::vector<Taken> cards) {
  std::vector<Wanted> mdevs;
  for (const Wanted& wanted : asked.wanted)
    if (wanted.use == Use::mdev)
      mdevs.push_back(wanted);
    else if (!gets_pci_device(wanted, cards))
      return false;
  return have_places(mdevs, 0, 0, cards);
}

/// Whether prepare can know all that the search knows. Where it cannot it takes the requests of a
/// domain one after the other, each at the place that is best for it alone, and what the kernel has
/// created stays where it is:
/// - ports: the driver says how many more of each type fit, not what one takes from the others;
/// - NVIDIA's mixed sizes: sysfs shows the mode only once there is an instance, and on a card
///   without VFs not exactly what is left;
/// - a kernel that refuses what it has said there is room for.
/// That matters only to a domain with mdevs of several types.
bool is_all_known(const Asked& asked, const std::vector<Taken>& cards) {
  std::set<std::string> types;
  unsigned mdevs = 0;
  for (const Wanted& wanted : asked.wanted)
    if (wanted.use == Use::mdev) {
      ++mdevs;
      types.insert(wanted.types.begin(), wanted.types.end());
    }
  if (mdevs <= 1 || types.size() == 1) return true;
  return std::all_of(cards.begin(), cards.end(), [&](const Taken& taken) {
    return taken.card.kind != RandomCard::Kind::mdevs ||
           (taken.broken.empty() && (taken.kernel.kind == Kernel::Kind::pool ||
                                     taken.kernel.kind == Kernel::Kind::homogeneous));
  });
}

// ---- the test

struct Counts {
  unsigned granted = 0, refused = 0, compared = 0, undone = 0;
  size_t most_tenants = 0;
};

/// One host, and what is done on it.
class Round {
 public:
  Round(unsigned seed, Counts& counts)
      : random_(seed),
        counts_(counts),
        host_(random_, sort_of(seed)),
        config_(random_config(random_, host_, has_limits(sort_of(seed)))) {
    claims_.make_ready();
  }

  void step() {
    const unsigned number = any(random_, 0, 5);
    Asked asked = random_domain(random_, host_, config_, number);
    if (const auto claim = claims_.find(asked.domain.uuid)) {
      if (any(random_, 0, 1) == 0) release(*claim);
      return;
    }
    if (any(random_, 0, 4) == 0) change_use();
    if (!asked.wanted.empty()) start(asked);
  }

  void end() {
    for (const Claim& claim : all_claims()) release(claim);
    EXPECT_TRUE(host_.fake.instances().empty());
  }

 private:
  static RandomHost::Sort sort_of(unsigned seed) {
    using Sort = RandomHost::Sort;
    constexpr Sort sorts[] = {Sort::fractions, Sort::vgpus, Sort::any,
                              Sort::scarce,    Sort::any,   Sort::any};
    return sorts[seed % 6];
  }
  static bool has_limits(RandomHost::Sort sort) {
    return sort == RandomHost::Sort::any || sort == RandomHost::Sort::vgpus;
  }

  std::vector<Claim> all_claims() const {
    AllClaims all = claims_.all();
    EXPECT_TRUE(all.unreadable.empty());
    return std::move(all.readable);
  }

  void expect_rules() const {
    const auto all = all_claims();
    expect_in_kernel(host_, all);
    for (const Taken& taken : taken_cards(host_, config_, all))
      counts_.most_tenants = std::max(counts_.most_tenants, taken.tenants.size());
    for (const Quota& quota : config_.quotas)
      EXPECT_TRUE(is_within(quota, counted(host_, config_, quota, all)))
          << to_string(quota.domains);
  }

  void release(const Claim& claim) const {
    EXPECT_TRUE(release_devices(host_.fake.root(), claims_, claim, deadlines).empty());
    EXPECT_FALSE(claims_.find(claim.domain));
    expect_rules();
  }

  /// The administrator has a card given whole, or no longer, while domains may run on it. Not the
  /// only one, nor where memory is counted: of a whole card its mdev types tell it.
  void change_use() {
    if (limits_memory(config_) || host_.cards.size() == 1) return;
    const size_t number = any(random_, 0, static_cast<unsigned>(host_.cards.size()) - 1);
    const RandomCard& card = host_.cards[number];
    if (card.kind != RandomCard::Kind::mdevs || !card.is_whole_too) return;
    auto& use = config_.gpus[number].use;
    use = use == Use::mdev ? Use::whole : Use::mdev;
  }

  /// The kernel refuses a type everywhere on a card, or a vGPU, though it says that there is room.
  /// Whether the start then fails for a reason that is no rule's.
  bool break_something(std::vector<Taken>& cards) {
    Taken& taken = cards[any(random_, 0, static_cast<unsigned>(cards.size()) - 1)];
    if (taken.card.kind == RandomCard::Kind::vgpus)
      host_.broken_vf = one_of(random_, taken.card.parts);
    if (taken.card.kind != RandomCard::Kind::mdevs) return !host_.broken_vf.empty();
    const std::string& type = one_of(random_, taken.kernel.types).id;
    const bool is_full = any(random_, 0, 1) == 0;
    for (const std::string& part : taken.card.parts)
      host_.fake.create_fails(part, type, is_full ? ENOSPC : EIO);
    if (is_full) taken.broken.insert(type);
    return !is_full;
  }

  std::string refusal(const Domain& domain) const {
    if (const Verdict verdict = request_verdict(config_, domain); !verdict)
      return to_string(verdict.reason);
    return error_of([&] { prepare_devices(host_.fake.root(), config_, domain, deadlines); });
  }

  /// What a refused start may not change, byte for byte: all but the file that locks are taken on.
  std::map<std::string, std::string> state() const {
    auto state = host_.fake.tree("/sys");
    state.merge(host_.fake.tree("/run"));
    state.erase("/run/gpuward/lock");
    return state;
  }

  void expect_unchanged(const std::map<std::string, std::string>& before,
                        const std::string& why) const {
    const auto after = state();
    for (const auto& [path, text] : before)
      EXPECT_TRUE(after.contains(path) && after.at(path) == text) << path << " by: " << why;
    for (const auto& [path, text] : after)
      EXPECT_TRUE(before.contains(path)) << path << ": " << text << " by: " << why;
  }

  void start(const Asked& asked) {
    SCOPED_TRACE(to_string(asked));
    const auto others = all_claims();
    auto cards = taken_cards(host_, config_, others);
    const bool is_broken = any(random_, 0, 5) == 0 && break_something(cards);
    const auto before = state();
    const size_t writes = host_.fake.writes().size();
    const std::string why = refusal(asked.domain);
    host_.fake.behaves();
    host_.broken_vf.clear();
    const bool is_possible =
        is_within_quotas(host_, config_, others, asked) && has_place(asked, cards);
    if (why.empty()) {
      ++counts_.granted;
      EXPECT_TRUE(is_possible) << "granted against the rules of this test";
      expect_granted(asked);
    } else {
      ++counts_.refused;
      counts_.undone += host_.fake.writes().size() > writes ? 1 : 0;
      expect_unchanged(before, why);
      // No driver here has a scheduler that guarantees a share of time slices: require_shares(),
      // which ShareTest is about, refuses it.
      const bool is_for_share = why.find("% of the compute units: ") != std::string::npos;
      if (!is_broken && !is_for_share && is_all_known(asked, cards)) {
        ++counts_.compared;
        EXPECT_FALSE(is_possible) << "there is a place: " << why;
      }
    }
    expect_rules();
  }

  /// All of them, and each what it asked for.
  void expect_granted(const Asked& asked) const {
    const auto claim = claims_.find(asked.domain.uuid);
    ASSERT_TRUE(claim);
    for (size_t number = 0; number < asked.wanted.size(); ++number) {
      const Wanted& wanted = asked.wanted[number];
      const ClaimedDevice& device = claim->devices.at(number);
      EXPECT_EQ(device.use, wanted.use);
      EXPECT_EQ(device.profile, wanted.counted_as);
      EXPECT_EQ(device.fraction, wanted.isolation);
      EXPECT_TRUE(wanted.address.empty() || wanted.address == place_of(device));
      EXPECT_TRUE(wanted.types.empty() || std::find(wanted.types.begin(), wanted.types.end(),
                                                    device.type) != wanted.types.end());
      EXPECT_TRUE(!wanted.mib || memory_of_type(host_, device.type) >= wanted.mib);
    }
    EXPECT_EQ(claim->devices.size(), asked.wanted.size());
  }

  Random random_;
  Counts& counts_;
  RandomHost host_;
  Config config_;
  Claims claims_{host_.fake.root()};
};

unsigned number_of(const char* variable, unsigned otherwise) {
  const char* const text = std::getenv(variable);
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

/// GPUWARD_PROPERTY_SEED: of the first host, and that of the next is one more;
/// GPUWARD_PROPERTY_HOSTS: how many.
TEST(LifecyclePropertyTest, no_rule_is_broken_and_what_has_a_place_is_not_refused) {
  const unsigned first = number_of("GPUWARD_PROPERTY_SEED", 1);
  const unsigned hosts = number_of("GPUWARD_PROPERTY_HOSTS", default_hosts);
  constexpr int steps = 24;
  Counts counts;
  for (unsigned seed = first; seed < first + hosts && !HasFailure(); ++seed) {
    Round round(seed, counts);
    for (int step = 0; step < steps && !HasFailure(); ++step) {
      SCOPED_TRACE("GPUWARD_PROPERTY_SEED=" + std::to_string(seed) + ", step " +
                   std::to_string(step));
      round.step();
    }
    SCOPED_TRACE("GPUWARD_PROPERTY_SEED=" + std::to_string(seed) + ", releases at the end");
    round.end();
  }
  std::cout << counts.granted << " granted, " << counts.refused << " refused, " << counts.compared
            << " of these compared, " << counts.undone << " undone, " << counts.most_tenants
            << " tenants at most\n";
  if (hosts < default_hosts || HasFailure()) return;
  EXPECT_GT(counts.granted, hosts);
  EXPECT_GT(counts.compared, hosts);
  EXPECT_GT(counts.undone, hosts / 10);
  EXPECT_EQ(counts.most_tenants, most_tenants) << "the limit was not reached";
}

}  // namespace
}  // namespace gpuward
