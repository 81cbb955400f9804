// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/card_facts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.hpp"
#include "config/gpu_selector.hpp"
#include "config/gpu_settings.hpp"
#include "fake_host.hpp"
#include "pci/pci_device.hpp"

namespace gpuward {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string gpu = "0000:41:00.0", other = "0000:42:00.0";

class CardFactsTest : public testing::Test {
 protected:
  CardFactsTest() { add(gpu, "1324"); }
  FakeDevice& add(const std::string& address, const std::string& serial) {
    return host_.pci_gpu(address)
        .pci_id(0x1002, 0x74a1)
        .attribute("power_state", "D0")
        .attribute("serial_number", serial)
        .attribute("subsystem_vendor", "0x1002")
        .attribute("subsystem_device", "0x0C34");
  }
  void select(const std::string& selector) {
    GpuSection section;
    section.selector = parse_gpu_selector(selector).value();
    section.use = Use::off;
    config_.gpus.push_back(section);
  }
  Parent read(const std::string& address) const {
    return read_identity(host_.root(), config_, *parse_pci_address(address));
  }
  std::optional<Use> use(const std::string& address) const {
    return settings_of(config_, read(address)).use;
  }
  std::string unclear(const std::string& address) const {
    return settings_of(config_, read(address)).unclear.problem;
  }
  FakeHost host_;
  Config config_;
};

TEST_F(CardFactsTest, a_section_follows_the_card_by_its_serial_number) {
  add(other, "0777");
  select("serial=1324");
  EXPECT_EQ(use(gpu), Use::off);
  EXPECT_EQ(use(other), std::nullopt);
  EXPECT_EQ(unclear(other), "");
}

TEST_F(CardFactsTest, are_slot_subsystem_and_iommu_group_too) {
  host_.file("/sys/bus/pci/slots/4-1/address", "0000:41:00\n");
  host_.iommu_group(12, {gpu});
  for (const char* selector : {"slot=4-1", "subsystem=1002:0c34", "iommu-group=12"}) {
    config_.gpus.clear();
    select(selector);
    EXPECT_EQ(use(gpu), Use::off) << selector;
  }
  for (const char* selector : {"slot=4", "subsystem=1002:0c35", "iommu-group=13"}) {
    config_.gpus.clear();
    select(selector);
    EXPECT_EQ(use(gpu), std::nullopt) << selector;
    EXPECT_EQ(unclear(gpu), "") << selector;
  }
}

TEST_F(CardFactsTest, are_the_same_of_a_device_that_has_been_read) {
  const std::string vf = "0000:41:00.4";
  host_.pci_gpu(vf).pci_id(0x1002, 0x74b5).attribute("numa_node", "1").link("physfn", "../" + gpu);
  select("serial=1324");
  for (const std::string& address : {gpu, vf}) {
    const auto device = find_pci_device(host_.root(), *parse_pci_address(address));
    ASSERT_TRUE(device);
    KnownCards cards;
    const Parent found = read_identity(host_.root(), config_, *device, cards);
    const Parent wanted = read(address);
    EXPECT_EQ(found.name, wanted.name);
    EXPECT_EQ(found.address, wanted.address);
    EXPECT_EQ(found.vendor, wanted.vendor);
    EXPECT_EQ(found.device, wanted.device);
    EXPECT_EQ(found.physical_function, wanted.physical_function);
    EXPECT_EQ(found.card_vendor, wanted.card_vendor);
    EXPECT_EQ(found.card_device, wanted.card_device);
    EXPECT_EQ(found.numa_node, wanted.numa_node);
    EXPECT_EQ(found.card.serial.values, wanted.card.serial.values);
  }
}

TEST_F(CardFactsTest, of_a_vf_are_those_of_its_card) {
  host_.sriov(gpu, 2);
  host_.set_vfs(gpu, 1);
  select("serial=1324");
  EXPECT_EQ(use("0000:41:00.1"), Use::off);
}

TEST_F(CardFactsTest, a_card_that_sleeps_is_not_known_to_be_another) {
  add(other, "").attribute("power_state", "D3cold").attribute("config", std::string(4096, '\0'));
  select("serial=1324");
  EXPECT_THAT(unclear(other), HasSubstr("whose serial number cannot be read"));
  EXPECT_EQ(unclear(gpu), "");
}

TEST_F(CardFactsTest, a_driver_that_refuses_to_be_read_leaves_it_unknown) {
  add(other, "");
  make_directories(pci_path(host_.root(), *parse_pci_address(other)) + "/config");  // EISDIR
  select("serial=1324");
  EXPECT_THAT(unclear(other), HasSubstr("cannot be read: Is a directory"));
}

TEST_F(CardFactsTest, a_serial_number_of_two_cards_selects_neither) {
  add(other, "1324");
  select("serial=1324");
  EXPECT_EQ(use(gpu), std::nullopt);
  EXPECT_THAT(unclear(gpu), HasSubstr("whose serial number is also that of GPU 0000:42:00.0"));
  EXPECT_THAT(unclear(other), HasSubstr("is also that of GPU 0000:41:00.0"));
  config_.gpus.clear();
  select("serial=0777");
  EXPECT_EQ(unclear(gpu), "") << "neither is the one that is meant";
}

TEST_F(CardFactsTest, only_amdgpu_tells_the_number_of_an_amd_card) {
  host_.pci_gpu(other).pci_id(0x1002, 0x744c).attribute("power_state", "D0").driver("vfio-pci");
  select("serial=1324");
  EXPECT_THAT(unclear(other), HasSubstr("amdgpu is not bound to the card"));
  host_.pci_gpu(other).driver("amdgpu");
  EXPECT_EQ(unclear(other), "") << "an older card has none";
}

TEST_F(CardFactsTest, companions_and_what_is_no_gpu_have_none) {
  add("0000:41:00.1", "1324").attribute("class", "0x040300");
  add("0000:41:00.2", "1324").attribute("class", "0x038000");
  add("0000:43:00.0", "1324").attribute("class", "0x020000");
  select("serial=1324");
  EXPECT_EQ(use(gpu), Use::off);
  EXPECT_EQ(unclear(gpu), "");
  for (const char* address : {"0000:41:00.1", "0000:41:00.2", "0000:43:00.0"}) {
    EXPECT_EQ(use(address), std::nullopt) << address;
    EXPECT_EQ(unclear(address), "") << address;
  }
  GpuSection network;
  network.selector = parse_gpu_selector("0000:43:00.0").value();
  config_.gpus.push_back(network);
  EXPECT_THAT(unclear("0000:43:00.0"), HasSubstr("is also that of GPU 0000:41:00.0"))
      << "declared a GPU";
  EXPECT_THAT(unclear(gpu), HasSubstr("is also that of GPU 0000:43:00.0"));
}

TEST_F(CardFactsTest, the_uuid_is_known_while_nvidias_driver_has_the_card) {
  const std::string uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";
  Identity identity;
  identity.uuid = uuid;
  EXPECT_THAT(uuid_fact(identity, 0x10de).values, ElementsAre(uuid));
  EXPECT_EQ(uuid_fact(identity, 0x10de).unknown, "");
  identity.uuid.reset();
  EXPECT_THAT(uuid_fact(identity, 0x10de).unknown, HasSubstr("NVIDIA's driver is not bound"));
  identity.is_unstarted = true;
  EXPECT_THAT(uuid_fact(identity, 0x10de).unknown, HasSubstr("has not started the card"));
  EXPECT_EQ(uuid_fact(identity, 0x1002).unknown, "") << "no other vendor's card has one";
  select("uuid=GPU-" + uuid);
  EXPECT_EQ(unclear(gpu), "");
  host_.pci_gpu(gpu).pci_id(0x10de, 0x2235);
  EXPECT_THAT(unclear(gpu), HasSubstr("whose UUID cannot be read"));
  const std::string information = "/proc/driver/nvidia/gpus/" + gpu + "/information";
  // In place of the question marks of the driver's, of which C++ makes trigraphs.
  host_.file(information, "GPU UUID: \t GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n");
  EXPECT_THAT(unclear(gpu), HasSubstr("NVIDIA's driver has not started the card"));
  host_.file(information, "GPU UUID: \t GPU-" + uuid + "\n");
  EXPECT_EQ(use(gpu), Use::off);
}

TEST(SerialFactTest, pcies_number_is_read_by_root_alone) {
  Identity identity;
  identity.serials = {"3C6F0A1B2D4E5F60"};
  EXPECT_EQ(serial_fact(identity, true).unknown, "");
  EXPECT_THAT(serial_fact(identity, false).unknown, HasSubstr("only root"));
  EXPECT_THAT(serial_fact(identity, false).values, ElementsAre("3c6f0a1b2d4e5f60"));
  identity.serials.push_back("48-b0-2d-ff-fe-12-34-56");
  EXPECT_EQ(serial_fact(identity, false).unknown, "");
}

// ---- what is opened

/// How often files of a device's directory are opened.
class Opened {
 public:
  explicit Opened(const std::string& directory) : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    EXPECT_GE(::inotify_add_watch(fd_.get(), directory.c_str(), IN_OPEN), 0);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    alignas(inotify_event) char buffer[4096];
    for (ssize_t size; (size = ::read(fd_.get(), buffer, sizeof buffer)) > 0;)
      for (ssize_t at = 0; at < size;) {
        const auto* const event = reinterpret_cast<const inotify_event*>(buffer + at);
        names.emplace_back(event->len > 0 ? event->name : ".");
        at += static_cast<ssize_t>(sizeof *event + event->len);
      }
    return names;
  }

 private:
  Fd fd_;
};

/// A card may have 256 VFs, and a host 16 cards.
TEST_F(CardFactsTest, are_read_once_for_all_parts_of_a_card) {
  add(other, "0777");
  host_.sriov(gpu, 3);
  host_.set_vfs(gpu, 3);
  for (const char* selector : {"serial=1324", "subsystem=1002:0c34"}) select(selector);
  const Opened card(pci_path(host_.root(), *parse_pci_address(gpu))),
      second(pci_path(host_.root(), *parse_pci_address(other)));
  KnownCards cards;
  const auto use_of = [&](const std::string& address) {
    return settings_of(config_,
                       read_identity(host_.root(), config_, *parse_pci_address(address), cards))
        .use;
  };
  for (const char* part : {"0000:41:00.0", "0000:41:00.1", "0000:41:00.2", "0000:41:00.3"})
    EXPECT_EQ(use_of(part), Use::off) << part;
  const auto opened = card.names(), of_other = second.names();
  EXPECT_EQ(std::count(opened.begin(), opened.end(), "serial_number"), 1);
  EXPECT_EQ(std::count(opened.begin(), opened.end(), "subsystem_vendor"), 1);
  EXPECT_EQ(std::count(of_other.begin(), of_other.end(), "serial_number"), 1);
}

TEST_F(CardFactsTest, a_declared_vf_shares_what_was_read_of_its_card) {
  host_.pci_gpu(gpu).attribute("class", "0x020000");
  host_.sriov(gpu, 2);
  host_.set_vfs(gpu, 2);
  for (const char* const vf : {"0000:41:00.1", "0000:41:00.2"})
    host_.pci_gpu(vf).attribute("class", "0x020000");
  select("serial=1324");
  GpuSection declared;
  declared.selector = parse_gpu_selector("0000:41:00.1").value();
  config_.gpus.push_back(declared);
  KnownCards cards;
  const auto use_of = [&](const std::string& address) {
    return settings_of(config_,
                       read_identity(host_.root(), config_, *parse_pci_address(address), cards))
        .use;
  };
  EXPECT_EQ(use_of("0000:41:00.1"), Use::off);
  EXPECT_EQ(use_of("0000:41:00.2"), std::nullopt) << "of a network card";
}

TEST_F(CardFactsTest, without_a_selector_that_needs_them_no_file_is_opened) {
  const PciAddress address = *parse_pci_address(gpu);
  for (const char* selector : {"*", "0000:41:*", "mtty"}) select(selector);
  Parent parent = read(gpu);
  const Opened opened(pci_path(host_.root(), address));
  read_card_facts(host_.root(), config_, parent);
  EXPECT_THAT(opened.names(), IsEmpty());
  EXPECT_EQ(settings_of(config_, parent).unclear.problem, "");
  select("subsystem=1002:0c34");
  read_card_facts(host_.root(), config_, parent);
  EXPECT_THAT(opened.names(), ElementsAre("class", "subsystem_vendor", "subsystem_device"));
}

}  // namespace
}  // namespace gpuward
