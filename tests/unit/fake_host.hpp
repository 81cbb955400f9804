// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/root.hpp"
#include "base/uuid.hpp"

namespace gpuward {

/// A directory that goes with its test.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

/// The process that calls it is killed: a reaction of FakeHost that does not return.
[[noreturn]] void die();

/// Runs `work` (given its number) in so many processes at the same time; their exit statuses,
/// 128 + N for one that signal N ended, 99 for one that threw.
std::vector<int> in_processes(int count, const std::function<int(int)>& work);

class FakeHost;

/// A device of the fake host; each call adds something to it.
class FakeDevice {
 public:
  /// Offers instances of this type, `most` of them while there are no others. As with mtty and
  /// mbochs all types share the device: an instance takes 1/most of it.
  FakeDevice& type(const std::string& id, unsigned most);
  FakeDevice& pci_id(uint16_t vendor, uint16_t device);
  FakeDevice& numa_node(int node);
  FakeDevice& driver(const std::string& name);
  /// A file in its directory; "mdev_supported_types/TYPE/name" for one of a type.
  FakeDevice& attribute(const std::string& path, const std::string& text);
  FakeDevice& without(const std::string& path);
  /// A symbolic link in its directory.
  FakeDevice& link(const std::string& path, const std::string& target);

 private:
  friend class FakeHost;
  FakeHost* host_ = nullptr;
  std::string directory_;
  std::map<std::string, unsigned> types_;
};

/// A host in a directory whose sysfs reacts: what is written to `create` and `remove` makes and
/// deletes instances, with the errno of the real mdev core. A FIFO would not do: writing to it
/// returns before its reader has acted, writing to sysfs returns after the kernel has. So the test
/// programs are linked with --wrap=write, and the write itself, in the very process that does it,
/// does what the kernel would. Only one may live at a time.
class FakeHost {
 public:
  FakeHost();
  ~FakeHost();
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  const Root& root() const { return root_; }

  /// A device that mdevs can be made of; with a PCI address as its name it is a PCI device.
  FakeDevice& parent(const std::string& name);
  /// A PCI display device that offers no mdevs.
  FakeDevice& pci_gpu(const std::string& address);
  /// Puts a PCI device behind a bridge.
  void move_below(const std::string& bridge, const std::string& address);
  /// The driver is unloaded, or the card pulled.
  void parent_goes(const std::string& name);

  /// An instance that someone else made, or that is left from before.
  void instance(const std::string& parent, const std::string& type, const Uuid& uuid);
  /// The driver still works on it: its link mdev_type is not there yet.
  void instance_without_type(const std::string& parent, const Uuid& uuid);
  void instance_goes(const Uuid& uuid);
  /// "PARENT/TYPE" of every instance there is.
  std::map<Uuid, std::string> instances() const;

  /// A process that has this instance open, and its end.
  void opens(int pid, const std::string& command, const Uuid& instance);
  void process(int pid, const std::string& command, const std::vector<std::string>& open_files);
  void ends(int pid);
  /// The device number that a path below /dev of this host has: "/dev/dri/card1" is 226:1. A file
  /// that the test put there is what it is.
  std::optional<dev_t> node(const std::string& path) const;

  void config(const std::string& text);
  /// Any file: "/proc/driver/nvidia/version".
  void file(const std::string& path, const std::string& text);
  /// The QEMU that domains have who name none, of this version: "7.2.22".
  void qemu(const std::string& version);
  void mdevctl_definition(const std::string& parent, const Uuid& uuid);

  // How the kernel misbehaves from now on.
  void create_fails(const std::string& parent, const std::string& type, int code);
  void create_hangs(const std::string& parent, const std::string& type);
  void remove_fails(const Uuid& uuid, int code);
  void remove_hangs(const Uuid& uuid);
  void remove_lingers(const Uuid& uuid);  ///< the write returns, the device stays
  void behaves();                         ///< no more of that for new writes
  void lets_go();                         ///< the hanging writes go through

  /// What the kernel does with a write to this attribute of a PCI device: 0, or an errno. What
  /// hangs calls hang(), which returns when the host lets go.
  using Reaction = std::function<int(const std::string& value)>;
  void reacts(const std::string& address, const std::string& attribute, Reaction reaction);
  void hang();
  /// The same of each instance that is created on this parent from now on, "nvidia/vgpu_params";
  /// in writes() as "set ATTRIBUTE VALUE".
  void instance_reacts(const std::string& parent, const std::string& attribute, Reaction reaction);

  /// Puts PCI devices into one IOMMU group.
  void iommu_group(unsigned number, const std::vector<std::string>& addresses);

  /// Makes a PCI device a PF that has up to `total` VFs, made by a write to sriov_numvfs: with the
  /// errno of drivers/pci/pci-sysfs.c, VFs directly behind the PF, each in a group of its own.
  void sriov(const std::string& pf, unsigned total);
  /// Makes VFs as a write would; 0 takes all away.
  void set_vfs(const std::string& pf, unsigned count);

  /// Where types share a card in another way than FakeDevice::type says: called once an instance
  /// has come to this parent or gone, writes each available_instances that changes by it. The
  /// kernel then creates what it says that there is room for.
  std::function<void(const std::string& parent)> counts;

  /// Called in the writing process, before the kernel has done anything, with the line that
  /// writes() is going to have.
  std::function<void(const std::string&)> before_write;

  /// Of each process so many calls of statx(2) and write(2) to a pipe are interrupted by a signal.
  int interruptions = 0;

  /// The errno of statx(2) for this path and mask, 0 where it goes on as usual.
  std::function<int(const std::string&, unsigned)> statx_fails;

  /// What was written, in order: "create PARENT TYPE UUID" or "remove UUID".
  std::vector<std::string> writes() const;

  /// Every path below `part` of the host ("/run", "") with what is in it.
  std::map<std::string, std::string> tree(const std::string& part) const;

  // For the wrapped clone(2) and poll(2).
  void has_writer(int pid);     ///< this process writes to the kernel: /proc shows the real one
  bool writer_goes_on() const;  ///< it has not ended and does not hang

  // For the wrapped write(2) and statx(2).
  bool is_interrupted();  ///< then errno is EINTR
  static FakeHost* current();
  bool is_control(const std::string& path) const;
  int kernel_write(const std::string& path, const std::string& value);

 private:
  friend class FakeDevice;
  struct Trouble {
    enum class Kind { fails, hangs, lingers } kind = Kind::fails;
    int code = 0;
  };
  std::string at(const std::string& path) const { return directory_.path() + path; }
  std::string device_directory(const std::string& name) const;
  std::string create_path(const std::string& parent, const std::string& type) const;
  FakeDevice& device(const std::string& name);
  const std::string* parent_of(const std::string& directory) const;
  int create(const std::string& parent, const std::string& type, const std::string& value);
  int remove(const std::string& parent, const std::string& uuid);
  void begin_removal(const std::string& directory) const;
  std::string link_group(const std::string& directory) const;
  void vfio_group(const std::string& number) const;
  unsigned room(const FakeDevice& device, const std::string& type) const;
  void count(const FakeDevice& device) const;
  bool is_of_instance(const std::string& path) const;

  TempDir directory_;
  Root root_;
  int writer_ = 0;  ///< the last process that writes to the kernel
  std::map<std::string, FakeDevice> devices_;
  std::map<std::string, Reaction> reactions_;  ///< by the path written to
  /// By the directory of the parent, then by attribute.
  std::map<std::string, std::map<std::string, Reaction>> of_instances_;
  std::map<std::string, Trouble> troubles_;  ///< by the path written to, or by UUID
};

}  // namespace gpuward
