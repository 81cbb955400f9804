// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/guest_pci.hpp"

#include <gtest/gtest.h>

using namespace gpuward;

namespace {

struct Guest {
  explicit Guest(std::string devices, const std::string& machine = "pc-q35-9.2")
      : text("<domain><os><type machine='" + machine + "'>hvm</type></os><devices>" +
             std::move(devices) + "</devices></domain>"),
        document(parse_document(text)) {}
  const std::vector<Element>& devices() const { return document.root.child("devices")->children; }

  std::string text;
  Document document;
};

std::string port(const std::string& index) {
  return "<controller type='pci' index='" + index + "' model='pcie-root-port'/>";
}

const std::string port_without_index = "<controller type='pci' model='pcie-root-port'/>";
const std::string root_without_index = "<controller type='pci' model='pcie-root'/>";

std::string device_at(const std::string& bus, const std::string& slot = "0x00") {
  return "<hostdev><address type='pci' domain='0x0000' bus='" + bus + "' slot='" + slot +
         "' function='0x0'/></hostdev>";
}

unsigned next_after(const std::string& devices) {
  return next_pci_controller(Guest(devices).devices());
}

}  // namespace

TEST(NextPciController, IsBehindAllThatHaveANumber) {
  EXPECT_EQ(next_after(""), 1u);
  EXPECT_EQ(next_after(port("1") + port("4")), 5u);
  EXPECT_EQ(next_after("<controller type='usb' index='7'/>"), 1u);
}

TEST(NextPciController, IsBehindThoseThatLibvirtWillNumber) {
  EXPECT_EQ(next_after(root_without_index + port_without_index + port_without_index), 3u);
  EXPECT_EQ(next_after(port("1") + port_without_index), 3u);
  EXPECT_EQ(next_after(port("3") + port_without_index), 4u) << "1 is free";
}

TEST(NextPciController, IsBehindTheBusesThatDevicesAreOn) {
  EXPECT_EQ(next_after(device_at("0x01")), 2u);
  EXPECT_EQ(next_after(port("1") + device_at("0x05")), 6u);
}

TEST(NextPciController, DoesNotTakeOtherAddressesForPci) {
  EXPECT_EQ(next_after("<disk><address type='drive' controller='0' bus='9' unit='0'/></disk>"), 1u);
  EXPECT_EQ(next_after("<video><address type='pci'/></video>"), 1u);
  EXPECT_EQ(next_after("<controller type='pci' index='4294967295'/>"), 2u)
      << "no number that libvirt takes";
}

TEST(GuestAddress, IsNoneWhereLibvirtShallFindThePlace) {
  const Guest guest("<video><address type='pci'/></video>" + device_at("0x02", "0x03"));
  EXPECT_FALSE(guest_address_of(guest.devices()[0]));
  EXPECT_EQ(guest_address_of(guest.devices()[1]), (PciAddress{0, 2, 3, 0}));
}

TEST(FreePciSlot, IsTheHighestOfTheFirstBusWithRoom) {
  std::string bus_0;
  for (const char* tens : {"0x0", "0x1"})
    for (const char ones : std::string("0123456789abcdef"))
      bus_0 += device_at("0", tens + std::string(1, ones));
  EXPECT_EQ(free_pci_slot(Guest(device_at("0", "0x1e")).devices()), (PciAddress{0, 0, 0x1d, 0}));
  EXPECT_FALSE(free_pci_slot(Guest(bus_0).devices()));
  const Guest with_bridge(bus_0 + "<controller type='pci' index='2' model='pci-bridge'/>");
  EXPECT_EQ(free_pci_slot(with_bridge.devices()), (PciAddress{0, 2, 0x1e, 0}));
}

TEST(PciController, IsFoundByItsBus) {
  const Guest guest(port("1") + port("2"));
  EXPECT_EQ(pci_controller_of(guest.devices(), 2), &guest.devices()[1]);
  EXPECT_EQ(pci_controller_of(guest.devices(), 3), nullptr);
}

TEST(PcieRoot, IsWhatQ35AndVirtHave) {
  EXPECT_TRUE(has_pcie_root(Guest("").document));
  EXPECT_TRUE(has_pcie_root(Guest("", "virt-7.2").document));
  EXPECT_FALSE(has_pcie_root(Guest("", "pc-i440fx-7.2").document));
}

TEST(MachineWithoutPci, IsNoneThatMayHaveABus) {
  for (const char* const machine : {"isapc", "microvm"})
    EXPECT_EQ(machine_without_pci(Guest("", machine).document), machine);
  for (const char* const machine : {"", "pc", "q35", "virt-7.2", "s390-ccw-virtio", "future"})
    EXPECT_EQ(machine_without_pci(Guest("", machine).document), "") << machine;
}

namespace {

std::string port_at(const std::string& place, const std::string& model = "pcie-root-port") {
  return "<controller type='pci' model='" + model +
         "'><address type='pci' domain='0x0000' bus='0x00' " + place + "/></controller>";
}

}  // namespace

TEST(SinglePorts, AreThoseThatLibvirtWouldMakeMultifunction) {
  const auto ports = [](const std::string& devices) {
    return single_ports(Guest(devices).devices());
  };
  const std::string port = port_at("slot='0x02' function='0x0'");
  EXPECT_EQ(ports(port), (std::vector{PciAddress{0, 0, 2, 0}}));
  EXPECT_TRUE(ports(port + port_at("slot='0x02' function='0x3'")).empty()) << "not alone";
  EXPECT_EQ(ports(port + port_at("slot='0x03' function='0x0'")).size(), 2u);
  EXPECT_TRUE(ports(port_at("slot='0x02' function='0x1'")).empty());
  EXPECT_TRUE(ports(port_at("slot='0x02' function='0x0' multifunction='on'")).empty());
  EXPECT_TRUE(ports(port_at("slot='0x02' function='0x0' multifunction='off'")).empty());
  EXPECT_TRUE(ports(port_at("slot='0x02' function='0x0'", "pci-bridge")).empty());
  EXPECT_TRUE(ports(port_without_index).empty()) << "libvirt has yet to place it";
}
