// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guard/reassigner.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "attach/assign.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "domain/qemu_override.hpp"
#include "domain/xml_document.hpp"
#include "inventory/gpu_hostdevs.hpp"
#include "inventory/usage.hpp"
#include "protection/protect.hpp"
#include "protection/qemu_version.hpp"
#include "state/claim_store.hpp"
#include "state/definition_lock.hpp"
#include "state/paths.hpp"

namespace gpuward {

using std::chrono::seconds;

/// Of the four threads the others are for what may not wait: libvirt keeps a domain to itself while
/// a hook of it runs.
static constexpr unsigned most_threads = 2;

/// Those that wait for a look (see lifecycle/settle.hpp). They go on when it and all that it
/// ordered is done.
class Reassigner::Settling {
 public:
  explicit Settling(const Root& root) : directory_(paths::claims(root) + '/') {
    for (const std::string& name : list_directory(directory_))
      if (name.starts_with(paths::reassignment_prefix))
        if (const auto uuid =
                parse_uuid(std::string_view(name).substr(paths::reassignment_prefix.size())))
          domains_.insert(*uuid);
  }
  ~Settling() {
    if (!is_early_)
      for (const Uuid& domain : domains_) ::unlink(file(domain).c_str());
  }
  Settling(const Settling&) = delete;
  Settling& operator=(const Settling&) = delete;

  /// libvirt keeps a domain to itself until its hook has ended.
  bool waits(const Uuid& domain) const { return domains_.contains(domain); }

  /// They have to wait for the next look.
  void is_too_early() { is_early_ = true; }

 private:
  std::string file(const Uuid& domain) const {
    return directory_ + std::string(paths::reassignment_prefix) + to_string(domain);
  }
  std::string directory_;
  std::set<Uuid> domains_;
  bool is_early_ = false;
};

Reassigner::Reassigner(const Root& root, CurrentConfig& config, JobQueue& workers)
    : root_(root),
      config_(config),
      workers_(workers),
      watch_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!watch_) throw SystemError("cannot create an inotify descriptor", errno);
  when_readable(watch_.get(), [this] { claims_changed(); });
}

// --- What happens ---

void Reassigner::connected(Connection connection) {
  {
    const std::scoped_lock lock(mutex_);
    connection_ = std::move(connection);
  }
  check_all();
}

void Reassigner::disconnected() {
  const std::scoped_lock lock(mutex_);
  connection_ = nullptr;
  forget();
}

/// With mutex_ held.
void Reassigner::forget() {
  filled_ = Filled::no;
  entries_.clear();
  queue_.clear();
}

void Reassigner::defined(const LibvirtDomain& domain) {
  const std::scoped_lock lock(mutex_);
  if (filled_ == Filled::no) return look_soon();
  const Uuid uuid = domain.uuid();
  EntryPointer& entry = entries_[uuid];
  if (!entry) entry = std::make_shared<Entry>();
  entry->handle = std::make_shared<const LibvirtDomain>(domain);  // its name may be new
  if (entry->own_defines > 0)
    --entry->own_defines;
  else
    wake(uuid, *entry);
}

void Reassigner::check_all() {
  check_all_ = true;
  look_soon();
}

/// A claim comes by a rename and goes; of the files of those that wait only the coming is news.
static bool is_news(const inotify_event& event) {
  if (event.mask & (IN_Q_OVERFLOW | IN_IGNORED)) return true;
  const std::string_view name = event.len > 0 ? event.name : "";
  return parse_uuid(name) ||
         (name.starts_with(paths::reassignment_prefix) && (event.mask & IN_MOVED_TO));
}

void Reassigner::claims_changed() {
  alignas(inotify_event) char buffer[4096];
  bool news = false;
  for (;;) {
    const ssize_t size = ::read(watch_.get(), buffer, sizeof buffer);  // IN_NONBLOCK: no EINTR
    if (size <= 0) break;
    for (const char* at = buffer; at < buffer + size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(at);
      news = news || is_news(*event);
      at += sizeof(inotify_event) + event->len;
    }
  }
  if (news) look_soon();
}

/// One thread looks; what is asked for meanwhile makes it look once more.
void Reassigner::look_soon() {
  if (looks_wanted_++ > 0) return;
  workers_.post([this] {
    for (unsigned wanted = looks_wanted_; wanted > 0;) {
      look();
      wanted = looks_wanted_ -= wanted;
    }
  });
}

// --- A look ---

void Reassigner::look() try {
  const auto config = config_.get();
  if (std::exchange(seen_by_, config) != config) {
    const std::scoped_lock lock(mutex_);
    forget();  // which GPUs are of a pool is another question now
    check_all_ = true;
  }
  watch();
  const auto settling = std::make_shared<Settling>(root_);
  if (is_filled(*settling)) plan(*config, settling);
} catch (const std::exception& error) {
  log::error(std::string("pools: ") + error.what());
}

/// Also where no profile gives PCI devices: a request may name none.
void Reassigner::watch() {
  Claims(root_).make_ready();
  // The same directory again is no second watch; another one of that name is watched from now on.
  const std::string directory = paths::claims(root_);
  watched_ = ::inotify_add_watch(watch_.get(), directory.c_str(), IN_MOVED_TO | IN_DELETE);
  if (watched_ < 0) throw SystemError("cannot watch " + directory, errno);
  if (!answers_)
    answers_ =
        Lock::acquire(paths::locks(root_), lock_number::reassignment, std::chrono::milliseconds(0));
}

/// Whether the table is of all domains; it is filled when there are pools for the first time.
bool Reassigner::is_filled(Settling& settling) {
  const std::scoped_lock lock(mutex_);
  if (!connection_) return false;
  if (filled_ == Filled::no) {
    filled_ = Filled::under_way;
    workers_.post([this, connection = connection_] { fill(connection); });
  }
  if (filled_ != Filled::yes) settling.is_too_early();
  return filled_ == Filled::yes;
}

void Reassigner::fill(const Connection& connection) try {
  const auto domains = connection->persistent_domains();
  const std::scoped_lock lock(mutex_);
  if (connection_ != connection) return;
  for (const LibvirtDomain& domain : domains) {
    const Uuid uuid = domain.uuid();
    EntryPointer& entry = entries_[uuid];
    if (!entry) entry = std::make_shared<Entry>();
    if (!entry->handle) entry->handle = std::make_shared<const LibvirtDomain>(domain);
    wake(uuid, *entry);
  }
  filled_ = Filled::yes;
  look_soon();
} catch (const std::exception& error) {
  log::error(std::string("pools: ") + error.what());
  const std::scoped_lock lock(mutex_);
  if (connection_ == connection) filled_ = Filled::no;
}

void Reassigner::plan(const Config& config, const std::shared_ptr<Settling>& settling) {
  const bool at_all = check_all_.exchange(false);
  ClaimedDevices claimed = claimed_devices(root_);
  std::map<PciAddress, unsigned> assigned_count;
  const auto off = idle_domains(claimed.on, assigned_count, *settling);
  const bool is_due = at_all || std::any_of(off.begin(), off.end(), [&](const PoolDomain& domain) {
                        return uses_unavailable_device(domain, claimed.taken);
                      });
  if (!is_due || off.empty()) return schedule_retry(false);
  const auto asked = std::make_shared<AskedCards>();
  auto pools = pools_of(root_, config, off, asked);
  add_open_devices(root_, devices_of(pools), claimed.taken);
  const DevicesByHand by_hand = devices_by_hand(root_, off);
  add_nvlinks(root_, off, pools, by_hand, {claimed.taken, assigned_count}, nvlinks_);
  const PoolPlan plan =
      plan_reassignments(off, pools, by_hand, claimed.taken, std::move(assigned_count));
  order(plan.moves, settling);
  schedule_retry(plan.retry_later);
}

/// A process of the host ends without a word to us: look again, less and less often.
void Reassigner::schedule_retry(bool wanted) {
  if (!wanted) retry_delay_ = seconds(1);
  if (!wanted || patience_armed_.exchange(true)) return;
  workers_.post_at(JobQueue::Clock::now() + retry_delay_, [this] {
    patience_armed_ = false;
    check_all();
  });
  retry_delay_ = std::min(retry_delay_ * 2, seconds(64));
}

/// Domains that are off and that no process works on; devices that others are on their way to.
std::vector<PoolDomain> Reassigner::idle_domains(const std::set<Uuid>& on,
                                                 std::map<PciAddress, unsigned>& assigned_count,
                                                 Settling& settling) {
  const std::scoped_lock lock(mutex_);
  std::vector<PoolDomain> idle;
  for (const auto& [uuid, entry] : entries_) {
    if (entry->queued || entry->busy) {
      entry->overlooked = true;
      if (!settling.waits(uuid) && !on.contains(uuid)) settling.is_too_early();
      for (const Reassignment& move : entry->moves) ++assigned_count[move.to.front()];
    } else if (!entry->seen) {
      wake(uuid, *entry);
    } else if (!on.contains(uuid)) {
      idle.push_back(*entry->seen);
    }
  }
  return idle;
}

void Reassigner::order(const std::vector<Reassignment>& moves,
                       const std::shared_ptr<Settling>& settling) {
  const std::scoped_lock lock(mutex_);
  std::set<Uuid> ordered;
  for (const Reassignment& move : moves) {
    const auto found = entries_.find(move.domain);
    if (found == entries_.end()) continue;
    Entry& entry = *found->second;
    if (entry.busy) {  // for no more than an instant: it was idle when the look began
      entry.overlooked = true;
      settling->is_too_early();
      continue;
    }
    if (!ordered.contains(move.domain)) entry.moves.clear();
    entry.moves.push_back(move);
    if (!settling->waits(move.domain)) entry.settling = settling;
    if (ordered.insert(move.domain).second) wake(move.domain, entry);
  }
}

// --- Domain by domain ---

/// With mutex_ held.
void Reassigner::wake(const Uuid& uuid, Entry& entry) {
  if (entry.busy) entry.again = true;
  if (entry.busy || std::exchange(entry.queued, true)) return;
  queue_.push_back(uuid);
  if (working_ == most_threads) return;
  ++working_;
  workers_.post([this] { work(); });
}

void Reassigner::work() {
  std::unique_lock lock(mutex_);
  while (!queue_.empty()) {
    const Uuid uuid = queue_.front();
    queue_.pop_front();
    const auto found = entries_.find(uuid);
    if (found != entries_.end() && found->second->queued)
      work_on(uuid, EntryPointer(found->second), lock);
  }
  --working_;
  if (std::exchange(changed_, false)) check_all();
}

static PoolDomain read_pool_domain(const Config& config, const std::string& name,
                                   const std::optional<std::string>& xml) {
  if (!xml || !may_have_gpu(*xml)) return {};
  try {
    return pool_domain(config, parse_domain(*xml));
  } catch (const Error& error) {
    log::warning(name, std::string("cannot read the domain XML: ") + error.what() +
                           ", not reassigning its GPUs");
    return {};
  }
}

void Reassigner::work_on(const Uuid& uuid, const EntryPointer& entry,
                         std::unique_lock<std::mutex>& lock) {
  entry->queued = false;
  entry->busy = true;
  const Handle handle = entry->handle;
  const Connection connection = connection_;
  const std::optional<PoolDomain> before = entry->seen;
  const std::vector<Reassignment> moves = entry->moves;
  auto settling = std::move(entry->settling);
  lock.unlock();
  std::optional<PoolDomain> read, left;
  try {
    std::optional<Lock> definition;
    if (!moves.empty()) definition = lock_definition(root_, uuid, seconds(5));
    const auto xml = handle->inactive_xml();
    read = left = read_pool_domain(*config_.get(), handle->name(), xml);
    if (!moves.empty() && xml && connection)
      left = apply_reassignments({*entry, *handle, *connection}, moves, *xml, *read);
  } catch (const std::exception& error) {
    log::warning(handle->name(), std::string("cannot reassign GPUs: ") + error.what());
  }
  settling.reset();
  lock.lock();
  entry->busy = false;
  entry->moves.clear();
  entry->seen = left;
  changed_ |=
      std::exchange(entry->overlooked, false) || (read && !read->gpus.empty() && read != before);
  const auto found = entries_.find(uuid);
  if (found == entries_.end() || found->second != entry) return;  // of the last connection
  if (std::exchange(entry->again, false))
    wake(uuid, *entry);
  else if (left && left->gpus.empty())
    entries_.erase(found);
}

static void log_reassigned(const PoolDomain& domain, const Reassignment& move) {
  const std::string name = shown(domain.name);
  const log::Field fields[] = {{"GPUWARD_DOMAIN", name},
                               {"GPUWARD_UUID", to_string(domain.uuid)},
                               {"GPUWARD_ACTION", std::string(action_of(log::Message::reassigned))},
                               {"GPUWARD_LAYER", "guard"},
                               {"GPUWARD_REASON", move.why}};
  log::entry(log::Severity::info, log::Message::reassigned,
             domain_title(domain.name) + ": " + gpu_title(move.alias) + " reassigned" +
                 (move.from ? " from " + to_string(*move.from) : "") + " (" + move.why + ") to " +
                 to_string(move.to.front()),
             fields);
}

/// Its event is ours and asks for nothing.
void Reassigner::define(const Case& at, const std::string& xml) {
  {
    const std::scoped_lock lock(mutex_);
    ++at.entry.own_defines;
  }
  try {
    at.connection.define(xml);
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    if (at.entry.own_defines > 0) --at.entry.own_defines;
    throw;
  }
}

/// A card with other functions has other hostdevs, which are not protected yet. Where they cannot
/// be the start is refused with the reason.
std::string Reassigner::protected_again(const std::string& domain, const std::string& before,
                                        const std::string& xml) try {
  const Document document = parse_document(xml);
  if (!is_protected(document)) return xml;
  const std::string emulator = emulator_of(document);
  const QemuCapabilities qemu =
      abilities_as_before(qemu_version(root_, emulator), parse_document(before));
  if (!qemu.is_known && !told_unknown_qemu_.exchange(true))
    log::warning(domain, "version of " + in_quotes(emulator) +
                             " is unknown, enable-migration=off is written for reassigned GPUs "
                             "only where the domain had it; run: gpuward protect " +
                             shell_word(domain));
  const auto config = config_.get();
  return protect(xml, {config->guard, qemu},
                 [&](const Hostdev& hostdev) { return is_gpu(root_, *config, hostdev); });
} catch (const Error& error) {
  log::warning(domain_title(domain) + ": cannot protect its reassigned GPUs: " + error.what());
  return xml;
}

QemuCapabilities abilities_as_before(std::optional<unsigned> version, const Document& before) {
  QemuCapabilities qemu = abilities_of(version);
  if (qemu.is_known) return qemu;
  const Element* const override = before.root.child("override", qemu_namespace);
  qemu.can_disable_vfio_migration =
      override && std::any_of(override->children.begin(), override->children.end(),
                              [](const Element& device) { return migration_property_of(device); });
  return qemu;
}

static std::multiset<std::string> hostdev_aliases(const std::string& xml) {
  std::multiset<std::string> aliases;
  for (const Hostdev& hostdev : parse_domain(xml).hostdevs) aliases.insert(hostdev.alias);
  return aliases;
}

bool has_other_hostdevs(const std::string& before, const std::string& after) {
  return hostdev_aliases(before) != hostdev_aliases(after);
}

static void move(Moved& moved, const Reassignment& move, const std::string& domain) try {
  moved.xml = assign_device(moved.xml, move.alias, move.managed, move.to);
  moved.done.push_back(move);
} catch (const Error& error) {
  log::warning(domain, "cannot reassign " + gpu_title(move.alias) + ": " + error.what());
}

/// The other hostdev that has the device, too, or one of its functions: libvirt refuses such a
/// definition.
static const Hostdev* find_conflict(const Domain& domain, const Reassignment& move) {
  for (const Hostdev& hostdev : domain.hostdevs)
    if (hostdev.address && gpu_alias(hostdev.alias) != move.alias &&
        std::find(move.to.begin(), move.to.end(), *hostdev.address) != move.to.end())
      return &hostdev;
  return nullptr;
}

/// Removes one move to a device that another GPU was to leave and did not, as its own move was
/// refused, or that was added since; false when there is none.
static bool take_out_conflict(const Moved& moved, std::vector<Reassignment>& moves,
                              const std::string& name) {
  const Domain domain = parse_domain(moved.xml);
  moves = moved.done;
  for (auto each = moves.begin(); each != moves.end(); ++each)
    if (const Hostdev* const other = find_conflict(domain, *each)) {
      const std::string user =
          is_ours(*other) ? gpu_title(gpu_alias(other->alias)) : "another hostdev";
      log::warning(name, "cannot reassign " + gpu_title(each->alias) + ": " +
                             to_string(*other->address) + ": in use by " + user);
      moves.erase(each);
      return true;
    }
  return false;
}

Moved with_moves(const std::string& xml, std::vector<Reassignment> moves, const PoolDomain& seen) {
  for (;;) {
    Moved moved{xml, {}};
    for (const Reassignment& each : moves)
      for (const PoolGpu& gpu : seen.gpus)
        if (gpu.alias == each.alias && gpu.at == each.from) move(moved, each, seen.name);
    if (!take_out_conflict(moved, moves, seen.name)) return moved;
  }
}

/// What the domain is pointed at then.
PoolDomain Reassigner::apply_reassignments(const Case& at, const std::vector<Reassignment>& moves,
                                           const std::string& xml, PoolDomain seen) {
  Moved moved = with_moves(xml, moves, seen);
  if (moved.xml == xml || at.domain.condition() != Condition::off || at.domain.has_saved_state())
    return seen;
  if (has_other_hostdevs(xml, moved.xml)) moved.xml = protected_again(seen.name, xml, moved.xml);
  define(at, moved.xml);
  for (const Reassignment& move : moved.done) {
    log_reassigned(seen, move);
    for (PoolGpu& gpu : seen.gpus)
      if (gpu.alias == move.alias) {
        gpu.at = move.to.front();
        gpu.must_be_unmanaged = false;
      }
  }
  return seen;
}

}  // namespace gpuward
