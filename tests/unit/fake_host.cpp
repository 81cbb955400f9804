// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_host.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "base/file.hpp"
#include "base/pci_address.hpp"

namespace fs = std::filesystem;

// The linker sends every write() of the program here (-Wl,--wrap=write).
extern "C" ssize_t __real_write(int fd, const void* data, size_t size);
extern "C" ssize_t __wrap_write(int fd, const void* data, size_t size);

ssize_t __wrap_write(int fd, const void* data, size_t size) {
  gpuward::FakeHost* const host = gpuward::FakeHost::current();
  if (!host) return __real_write(fd, data, size);
  const int before = errno;
  const auto path = gpuward::read_link("/proc/self/fd/" + std::to_string(fd));
  // A signal that comes when part is written leaves a short count; others write no more than what a
  // pipe takes as a whole.
  if (path && path->starts_with("pipe:") && host->is_interrupted())
    return fd == STDERR_FILENO && host->interruptions % 2 == 1 ? __real_write(fd, data, 1) : -1;
  if (!path || !host->is_control(*path)) {
    errno = before;
    return __real_write(fd, data, size);
  }
  const int code = host->kernel_write(*path, {static_cast<const char*>(data), size});
  errno = code ? code : before;
  return code ? -1 : static_cast<ssize_t>(size);
}

// The fake allocates, which the program's child, as it shares its parent's memory, never does:
// where there is a fake, the child gets memory of its own.
extern "C" int __real_clone(int (*run)(void*), void* stack, int flags, void* data);
extern "C" int __wrap_clone(int (*run)(void*), void* stack, int flags, void* data);

int __wrap_clone(int (*run)(void*), void* stack, int flags, void* data) {
  gpuward::FakeHost* const host = gpuward::FakeHost::current();
  if (!host) return __real_clone(run, stack, flags, data);
  const int child = ::fork();
  if (child == 0) ::_exit(run(data));
  if (child > 0) host->has_writer(child);
  return child;
}

// A child that waits for a processor, or is on its way to a write that hangs, is not blocked: until
// it has ended or hangs, the time of whoever waits for it stands still.
extern "C" int __real_poll(pollfd* files, nfds_t count, int timeout);
extern "C" int __wrap_poll(pollfd* files, nfds_t count, int timeout);

int __wrap_poll(pollfd* files, nfds_t count, int timeout) {
  gpuward::FakeHost* const host = gpuward::FakeHost::current();
  constexpr int slice = 10, most = 60'000;  // ms
  for (int waited = 0; host && timeout >= 0 && host->writer_goes_on() && waited < most;
       waited += slice) {
    const int ready = __real_poll(files, count, slice);
    if (ready != 0) return ready;
  }
  return __real_poll(files, count, timeout);
}

// What a node below /dev is needs root's rights to be made, so it is told here.
extern "C" int __real_statx(int dir, const char* path, int flags, unsigned mask,
                            struct statx* info);
extern "C" int __wrap_statx(int dir, const char* path, int flags, unsigned mask,
                            struct statx* info);

int __wrap_statx(int dir, const char* path, int flags, unsigned mask, struct statx* info) {
  gpuward::FakeHost* const host = gpuward::FakeHost::current();
  if (host && host->is_interrupted()) return -1;
  if (const int code = host && host->statx_fails ? host->statx_fails(path, mask) : 0; code != 0) {
    errno = code;
    return -1;
  }
  const auto number = host ? host->node(path) : std::nullopt;
  if (!number) return __real_statx(dir, path, flags, mask, info);
  *info = {};
  info->stx_mode = S_IFCHR | 0660;
  info->stx_rdev_major = major(*number);
  info->stx_rdev_minor = minor(*number);
  return 0;
}

namespace gpuward {

static FakeHost* the_host = nullptr;

bool FakeHost::is_interrupted() {
  if (interruptions == 0) return false;
  --interruptions;
  errno = EINTR;
  return true;
}

/// "/dev/dri/card1" is 226:1: each kind of node has a major number, and its minor is in its name.
static std::optional<dev_t> number_of_node(const std::string& node) {
  static const std::pair<const char*, unsigned> kinds[] = {
      {"/dev/vfio/devices/vfio", 511}, {"/dev/vfio/", 244},   {"/dev/dri/card", 226},
      {"/dev/dri/renderD", 226},       {"/dev/nvidia", 195},  {"/dev/fb", 29},
      {"/dev/snd/controlC", 116},      {"/dev/bus/usb/", 189}};
  for (const auto& [start, major] : kinds) {
    if (!node.starts_with(start)) continue;
    const std::string rest = node.substr(std::string(start).size());
    if (rest.empty() || rest.find_first_not_of("0123456789") != std::string::npos) return {};
    return makedev(major, static_cast<unsigned>(std::stoul(rest)));
  }
  return {};
}

TempDir::TempDir() {
  ::umask(022);  // what a group may write is not trusted (base/trusted_file.hpp)
  std::string path = fs::canonical(fs::temp_directory_path()).string() + "/gpuward-test-XXXXXX";
  if (!::mkdtemp(path.data())) throw std::runtime_error("cannot make a directory in /tmp");
  path_ = path;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

static int status_of(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

[[noreturn]] static void run_work(const std::function<int(int)>& work, int number) {
  try {
    ::_exit(work(number));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "process %d: %s\n", number, error.what());
    ::_exit(99);
  }
}

void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

std::vector<int> in_processes(int count, const std::function<int(int)>& work) {
  int gate[2];  // its end is the starting signal
  if (::pipe2(gate, O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  std::vector<pid_t> children;
  for (int number = 0; number < count; ++number) {
    const pid_t child = ::fork();
    if (child == 0) {
      char none;
      ::close(gate[1]);
      if (::read(gate[0], &none, 1) != 0) ::_exit(98);
      ::close(gate[0]);
      run_work(work, number);
    }
    children.push_back(child);
  }
  ::close(gate[0]);
  ::close(gate[1]);
  std::vector<int> statuses;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    statuses.push_back(status_of(status));
  }
  return statuses;
}

static void put(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::trunc) << text;
}

/// By rename, as a reader of sysfs never sees half of a value.
static void put_whole(const std::string& path, const std::string& temporary,
                      const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  put(temporary, text);
  fs::rename(temporary, path);
}

static void append_line(const std::string& path, const std::string& line) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  const std::string text = line + '\n';
  if (__real_write(fd.get(), text.data(), text.size()) < 0) std::perror("append_line");
}

static std::vector<std::string> lines_in(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// What the kernel does, it does under its own lock: one write at a time.
class KernelLock {
 public:
  explicit KernelLock(const std::string& file)
      : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    ::flock(fd_.get(), LOCK_EX);
  }

 private:
  Fd fd_;
};

// ---- devices

FakeDevice& FakeDevice::attribute(const std::string& path, const std::string& text) {
  put_whole(directory_ + '/' + path, host_->at("/kernel/value-" + std::to_string(::getpid())),
            text + '\n');
  return *this;
}

FakeDevice& FakeDevice::without(const std::string& path) {
  fs::remove(directory_ + '/' + path);
  return *this;
}

FakeDevice& FakeDevice::link(const std::string& path, const std::string& target) {
  const std::string link = directory_ + '/' + path;
  fs::remove(link);
  fs::create_symlink(target, link);
  return *this;
}

FakeDevice& FakeDevice::type(const std::string& id, unsigned most) {
  types_[id] = most;
  const std::string type = "mdev_supported_types/" + id + '/';
  attribute(type + "name", id + " by name").attribute(type + "device_api", "vfio-pci");
  attribute(type + "description", "made up");
  put(directory_ + '/' + type + "create", "");
  fs::create_directories(directory_ + '/' + type + "devices");
  host_->count(*this);
  return *this;
}

static std::string hexadecimal(unsigned number) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%04x", number);
  return text;
}

FakeDevice& FakeDevice::pci_id(uint16_t vendor, uint16_t device) {
  return attribute("vendor", hexadecimal(vendor)).attribute("device", hexadecimal(device));
}

FakeDevice& FakeDevice::numa_node(int node) {
  return attribute("numa_node", std::to_string(node));
}

FakeDevice& FakeDevice::driver(const std::string& name) {
  fs::remove(directory_ + "/driver");
  fs::create_symlink("../../../bus/pci/drivers/" + name, directory_ + "/driver");
  return *this;
}

// ---- the host

FakeHost::FakeHost() : root_{directory_.path()} {
  if (the_host) throw std::logic_error("two fake hosts at a time");
  for (const char* path :
       {"/sys/class/mdev_bus", "/sys/bus/mdev/devices", "/sys/bus/pci/devices",
        "/sys/kernel/iommu_groups", "/proc", "/etc/gpuward", "/etc/mdevctl.d", "/run", "/kernel"})
    fs::create_directories(at(path));
  the_host = this;
}

FakeHost::~FakeHost() {
  the_host = nullptr;
}

FakeHost* FakeHost::current() {
  return the_host;
}

std::string FakeHost::device_directory(const std::string& name) const {
  return parse_pci_address(name) ? at("/sys/devices/pci0000:00/" + name)
                                 : at("/sys/devices/virtual/" + name + '/' + name);
}

FakeDevice& FakeHost::device(const std::string& name) {
  FakeDevice& device = devices_[name];
  if (device.host_) return device;
  device.host_ = this;
  device.directory_ = device_directory(name);
  const bool is_new = fs::create_directories(device.directory_);
  if (!parse_pci_address(name) || !is_new) return device;  // a child may have made it
  device.pci_id(0x1234, 0x1111).numa_node(-1).attribute("class", "0x030000");
  fs::create_symlink("../../../devices/pci0000:00/" + name, at("/sys/bus/pci/devices/" + name));
  return device;
}

FakeDevice& FakeHost::pci_gpu(const std::string& address) {
  return device(address);
}

FakeDevice& FakeHost::parent(const std::string& name) {
  FakeDevice& parent = device(name);
  const std::string link = at("/sys/class/mdev_bus/" + name);
  if (fs::is_symlink(link)) return parent;
  fs::create_directories(parent.directory_ + "/mdev_supported_types");
  fs::create_symlink("../../" + parent.directory_.substr(at("/sys/").size()), link);
  return parent;
}

void FakeHost::move_below(const std::string& bridge, const std::string& address) {
  FakeDevice& moved = device(address);
  const std::string directory = device(bridge).directory_ + '/' + address;
  fs::rename(moved.directory_, directory);
  moved.directory_ = directory;
  const std::string target = directory.substr(at("/sys/").size());
  const std::string link = at("/sys/bus/pci/devices/" + address);
  fs::remove(link);
  fs::create_symlink("../../../" + target, link);
  const std::string parent = at("/sys/class/mdev_bus/" + address);
  if (fs::remove(parent)) fs::create_symlink("../../" + target, parent);
}

void FakeHost::parent_goes(const std::string& name) {
  for (const auto& [uuid, where] : instances())
    if (where.starts_with(name + '/')) instance_goes(uuid);
  fs::remove(at("/sys/class/mdev_bus/" + name));
  fs::remove(at("/sys/bus/pci/devices/" + name));
  fs::remove_all(device_directory(name));
  devices_.erase(name);
}

void FakeHost::instance(const std::string& parent, const std::string& type, const Uuid& uuid) {
  const KernelLock lock(at("/kernel/lock"));
  if (const int code = create(parent, type, to_string(uuid)))
    throw std::logic_error("the test's own instance: errno " + std::to_string(code));
}

void FakeHost::instance_without_type(const std::string& parent, const Uuid& uuid) {
  const std::string text = to_string(uuid), directory = device_directory(parent) + '/' + text;
  put(directory + "/remove", "");
  fs::create_symlink("../../../" + directory.substr(at("/sys/").size()),
                     at("/sys/bus/mdev/devices/" + text));
}

void FakeHost::instance_goes(const Uuid& uuid) {
  const KernelLock lock(at("/kernel/lock"));
  const fs::path directory = fs::canonical(at("/sys/bus/mdev/devices/" + to_string(uuid)));
  remove(directory.parent_path().filename(), to_string(uuid));
}

std::map<Uuid, std::string> FakeHost::instances() const {
  std::map<Uuid, std::string> found;
  for (const auto& entry : fs::directory_iterator(at("/sys/bus/mdev/devices"))) {
    const fs::path directory = fs::canonical(entry.path());
    const auto type = read_link(directory.string() + "/mdev_type");
    found[parse_uuid(entry.path().filename().string()).value()] =
        directory.parent_path().filename().string() + '/' +
        std::string(base_name(type.value_or("")));
  }
  return found;
}

void FakeHost::qemu(const std::string& version) {
  const std::string emulator = "/usr/bin/qemu-system-x86_64";
  file(emulator, "#!/bin/sh\necho QEMU emulator version " + version + '\n');
  ::chmod(at(emulator).c_str(), 0755);
  ::chmod(root_.prefix.c_str(), 0755);  // it is asked as nobody
}

void FakeHost::process(int pid, const std::string& command,
                       const std::vector<std::string>& open_files) {
  const std::string directory = at("/proc/" + std::to_string(pid));
  put(directory + "/comm", command + '\n');
  put(directory + "/stat", std::to_string(pid) + " (" + command +
                               ") S 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 " +
                               std::to_string(pid + 100'000) + " 0 0\n");
  fs::create_directories(directory + "/fd");
  int fd = 3;
  for (const std::string& file : open_files)
    fs::create_symlink(file, directory + "/fd/" + std::to_string(fd++));
}

std::optional<dev_t> FakeHost::node(const std::string& path) const {
  if (!path.starts_with(at("/dev/"))) return {};
  if (exists(path)) return {};  // the test's own file of that name
  return number_of_node(path.substr(directory_.path().size()));
}

void FakeHost::opens(int pid, const std::string& command, const Uuid& instance) {
  const auto group = read_link(at("/sys/bus/mdev/devices/" + to_string(instance) + "/iommu_group"));
  process(pid, command, {"/dev/vfio/vfio", "/dev/vfio/" + std::string(base_name(group.value()))});
}

void FakeHost::ends(int pid) {
  fs::remove_all(at("/proc/" + std::to_string(pid)));
}

void FakeHost::config(const std::string& text) {
  put(at("/etc/gpuward/gpuward.conf"), text);
}

void FakeHost::file(const std::string& path, const std::string& text) {
  put(at(path), text);
}

void FakeHost::mdevctl_definition(const std::string& parent, const Uuid& uuid) {
  put(at("/etc/mdevctl.d/" + parent + '/' + to_string(uuid)), "{}\n");
}

// ---- the kernel

std::string FakeHost::create_path(const std::string& parent, const std::string& type) const {
  return device_directory(parent) + "/mdev_supported_types/" + type + "/create";
}

void FakeHost::create_fails(const std::string& parent, const std::string& type, int code) {
  troubles_[create_path(parent, type)] = {Trouble::Kind::fails, code};
}
void FakeHost::create_hangs(const std::string& parent, const std::string& type) {
  troubles_[create_path(parent, type)] = {Trouble::Kind::hangs, 0};
}
void FakeHost::remove_fails(const Uuid& uuid, int code) {
  troubles_[to_string(uuid)] = {Trouble::Kind::fails, code};
}
void FakeHost::remove_hangs(const Uuid& uuid) {
  troubles_[to_string(uuid)] = {Trouble::Kind::hangs, 0};
}
void FakeHost::remove_lingers(const Uuid& uuid) {
  troubles_[to_string(uuid)] = {Trouble::Kind::lingers, 0};
}
void FakeHost::behaves() {
  troubles_.clear();
}

/// As is_running says of a process of the real host.
static bool has_ended(const std::string& pid) {
  const auto stat = read_attribute("/proc/" + pid + "/stat");
  if (!stat) return true;
  const char state = stat->at(stat->rfind(')') + 2);
  return state == 'Z' || state == 'X';
}

void FakeHost::has_writer(int pid) {
  const std::string name = std::to_string(pid);
  const std::string entry = at("/proc/" + name);
  fs::remove_all(entry);
  fs::create_directories(at("/proc"));
  fs::create_symlink("/proc/" + name, entry);
  writer_ = pid;
}

bool FakeHost::writer_goes_on() const {
  if (writer_ == 0) return false;
  const std::string pid = std::to_string(writer_);
  const auto hanging = lines_in(at("/kernel/hanging"));
  return !has_ended(pid) && std::find(hanging.begin(), hanging.end(), pid) == hanging.end();
}

void FakeHost::lets_go() {
  put(at("/kernel/let-go"), "");
  for (const std::string& pid : lines_in(at("/kernel/hanging")))
    for (int tries = 0; tries < 60'000 && !has_ended(pid); ++tries) ::usleep(1000);
}

void FakeHost::hang() {
  append_line(at("/kernel/hanging"), std::to_string(::getpid()));
  while (!exists(at("/kernel/let-go"))) {
    if (!exists(directory_.path())) ::_exit(0);  // the test is over
    ::usleep(1000);
  }
}

void FakeHost::reacts(const std::string& address, const std::string& attribute, Reaction reaction) {
  const std::string path = device(address).directory_ + '/' + attribute;
  if (!exists(path)) put(path, "");
  reactions_[path] = std::move(reaction);
}

void FakeHost::instance_reacts(const std::string& parent, const std::string& attribute,
                               Reaction reaction) {
  of_instances_[device(parent).directory_][attribute] = std::move(reaction);
}

/// The name of the attribute below PARENT/UUID/.
static std::string attribute_name(const std::string& parent, const std::string& path) {
  constexpr size_t uuid_and_slashes = 38;
  return path.starts_with(parent + '/') && path.size() > parent.size() + uuid_and_slashes
             ? path.substr(parent.size() + uuid_and_slashes)
             : "";
}

bool FakeHost::is_of_instance(const std::string& path) const {
  return std::any_of(of_instances_.begin(), of_instances_.end(), [&](const auto& parent) {
    return parent.second.contains(attribute_name(parent.first, path));
  });
}

void FakeHost::vfio_group(const std::string& number) const {
  put(at("/sys/class/vfio/" + number + "/dev"), "244:" + number + '\n');
}

void FakeHost::iommu_group(unsigned number, const std::vector<std::string>& addresses) {
  const std::string group = at("/sys/kernel/iommu_groups/" + std::to_string(number));
  fs::create_directories(group + "/devices");
  vfio_group(std::to_string(number));
  for (const std::string& address : addresses) {
    const std::string directory = device(address).directory_;
    fs::create_symlink(directory, group + "/devices/" + address);
    fs::create_symlink(fs::relative(group, directory), directory + "/iommu_group");
  }
}

static PciAddress behind(const std::string& pf, unsigned number) {
  PciAddress address = *parse_pci_address(pf);
  const unsigned id = address.slot * 8u + address.function + number;
  address.slot = static_cast<uint8_t>(id >> 3);
  address.function = static_cast<uint8_t>(id & 7);
  return address;
}

void FakeHost::set_vfs(const std::string& pf, unsigned count) {
  const std::string directory = device(pf).directory_;
  for (unsigned index = 0; exists(directory + "/virtfn" + std::to_string(index)); ++index) {
    fs::remove(directory + "/virtfn" + std::to_string(index));
    parent_goes(to_string(behind(pf, index + 1)));
  }
  for (unsigned index = 0; index < count; ++index) {
    const std::string vf = to_string(behind(pf, index + 1));
    device(vf).link("physfn", "../" + pf);
    device(pf).link("virtfn" + std::to_string(index), "../" + vf);
    link_group(device(vf).directory_);
  }
  put(directory + "/sriov_numvfs", std::to_string(count) + '\n');
}

void FakeHost::sriov(const std::string& pf, unsigned total) {
  device(pf).attribute("sriov_totalvfs", std::to_string(total));
  device(pf).attribute("sriov_offset", "1").attribute("sriov_stride", "1");
  reacts(pf, "sriov_drivers_autoprobe", [](const std::string&) { return 0; });
  set_vfs(pf, 0);
  reacts(pf, "sriov_numvfs", [this, pf, total](const std::string& value) {
    const unsigned count = static_cast<unsigned>(std::stoul(value));
    const bool has_some = exists(device(pf).directory_ + "/virtfn0");
    if (count > total) return ERANGE;
    if (count > 0 && has_some) return EBUSY;
    set_vfs(pf, count);
    return 0;
  });
}

bool FakeHost::is_control(const std::string& path) const {
  if (reactions_.contains(path) || is_of_instance(path)) return true;
  return path.starts_with(at("/sys/devices/")) &&
         (path.ends_with("/create") || path.ends_with("/remove"));
}

int FakeHost::kernel_write(const std::string& path, const std::string& value) {
  if (const auto reaction = reactions_.find(path); reaction != reactions_.end()) {
    append_line(at("/kernel/writes"),
                path.substr(at("/sys/devices/pci0000:00/").size()) + ' ' + value);
    return reaction->second(value);
  }
  for (const auto& [parent, attributes] : of_instances_)
    if (const auto reaction = attributes.find(attribute_name(parent, path));
        reaction != attributes.end()) {
      append_line(at("/kernel/writes"), "set " + reaction->first + ' ' + value);
      return reaction->second(value);
    }
  const fs::path directory = fs::path(path).parent_path();
  const bool creates = path.ends_with("/create");
  const std::string last = directory.filename();
  const std::string parent = creates ? directory.parent_path().parent_path().filename()
                                     : directory.parent_path().filename();
  const std::string line =
      creates ? "create " + parent + ' ' + last + ' ' + value : "remove " + last;
  if (before_write) before_write(line);
  append_line(at("/kernel/writes"), line);
  const auto trouble = troubles_.find(creates ? path : last);
  const bool is_trouble = trouble != troubles_.end();
  if (is_trouble && trouble->second.kind == Trouble::Kind::fails) return trouble->second.code;
  if (is_trouble && trouble->second.kind == Trouble::Kind::lingers) return 0;
  const bool hangs = is_trouble && trouble->second.kind == Trouble::Kind::hangs;
  if (hangs && !creates) begin_removal(directory);
  if (hangs) hang();
  int code = 0;
  {
    const KernelLock lock(at("/kernel/lock"));
    code = creates ? create(parent, last, value) : remove(parent, last);
  }
  return code;
}

unsigned FakeHost::room(const FakeDevice& device, const std::string& type) const {
  if (counts)
    return static_cast<unsigned>(std::stoul(
        read_attribute(device.directory_ + "/mdev_supported_types/" + type + "/available_instances")
            .value()));
  const unsigned most = device.types_.at(type);
  unsigned whole = 1;
  for (const auto& [id, number] : device.types_)
    if (number) whole = std::lcm(whole, number);
  unsigned used = 0;
  for (const auto& entry : fs::directory_iterator(device.directory_)) {
    const auto other = read_attribute(at("/kernel/types/") + entry.path().filename().string());
    if (other) used += whole / device.types_.at(*other);
  }
  return most ? (whole - used) / (whole / most) : 0;
}

/// Writes every available_instances again.
void FakeHost::count(const FakeDevice& device) const {
  if (counts) {
    counts(std::string(base_name(device.directory_)));
    return;
  }
  for (const auto& [id, most] : device.types_)
    put_whole(device.directory_ + "/mdev_supported_types/" + id + "/available_instances",
              at("/kernel/count"), std::to_string(room(device, id)) + '\n');
}

std::string FakeHost::link_group(const std::string& directory) const {
  const std::string groups = at("/sys/kernel/iommu_groups/");
  int number = 1;
  while (!fs::create_directory(groups + std::to_string(number))) ++number;
  const std::string group = groups + std::to_string(number);
  vfio_group(std::to_string(number));
  fs::create_symlink(fs::relative(group, directory), directory + "/iommu_group");
  return group;
}

/// As drivers/vfio/mdev/mdev_core.c: UUID, uniqueness on the host, the driver's room, then the
/// device, its link on the bus, and last mdev_type.
int FakeHost::create(const std::string& parent, const std::string& type, const std::string& value) {
  const bool long_enough = value.size() == 36 || (value.size() == 37 && value.back() == '\n');
  const auto uuid = long_enough ? parse_uuid(value.substr(0, 36)) : std::nullopt;
  if (!uuid) return EINVAL;
  const std::string text = to_string(*uuid), link = at("/sys/bus/mdev/devices/" + text);
  for (const auto& [name, other] : devices_)
    if (exists(other.directory_ + '/' + text)) return EEXIST;
  const FakeDevice& device = devices_.at(parent);
  if (room(device, type) == 0) return ENOSPC;
  const std::string directory = device.directory_ + '/' + text;
  fs::create_directories(directory);
  put(directory + "/remove", "");
  if (const auto attributes = of_instances_.find(device.directory_);
      attributes != of_instances_.end())
    for (const auto& [name, reaction] : attributes->second) {
      fs::create_directories(fs::path(directory + '/' + name).parent_path());
      put(directory + '/' + name, "");
    }
  put(at("/kernel/types/" + text), type);
  link_group(directory);
  fs::create_symlink("../../../" + directory.substr(at("/sys/").size()), link);
  fs::create_symlink("../mdev_supported_types/" + type, directory + "/mdev_type");
  count(device);
  return 0;
}

int FakeHost::remove(const std::string& parent, const std::string& uuid) {
  const std::string directory = device_directory(parent) + '/' + uuid;
  if (!exists(directory)) return ENODEV;
  if (const auto group = read_link(directory + "/iommu_group")) {
    const std::string number(base_name(*group));
    fs::remove(at("/sys/kernel/iommu_groups/") + number);
    fs::remove_all(at("/sys/class/vfio/") + number);
  }
  begin_removal(directory);
  fs::remove_all(directory);
  fs::remove(at("/kernel/types/" + uuid));
  count(devices_.at(parent));
  return 0;
}

/// All that comes before vfio_unregister_group_dev waits for who has the device open: it leaves the
/// bus, but keeps its directory, its UUID and its room.
void FakeHost::begin_removal(const std::string& directory) const {
  fs::remove(at("/sys/bus/mdev/devices/") + std::string(base_name(directory)));
  fs::remove(directory + "/mdev_type");
  fs::remove(directory + "/remove");
}

std::vector<std::string> FakeHost::writes() const {
  return lines_in(at("/kernel/writes"));
}

std::map<std::string, std::string> FakeHost::tree(const std::string& part) const {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(at(part))) {
    std::string& text = found[entry.path().string().substr(directory_.path().size())];
    if (entry.is_symlink())
      text = "-> " + fs::read_symlink(entry.path()).string();
    else if (entry.is_regular_file())
      text = read_file(entry.path()).value_or("");
  }
  return found;
}

}  // namespace gpuward
