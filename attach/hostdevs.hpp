// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/pci_address.hpp"
#include "domain/xml_edit.hpp"

namespace gpuward {

// The hostdevs of a domain's GPUs, as attach/ finds and writes them.

/// Any <hostdev>, also of kinds that Domain does not list.
bool is_hostdev(const Element& element);

/// Of a device; "" when it has none.
std::string_view alias_of(const Element& device);

/// The <address> in the <source> of a hostdev that has one.
const Element& source_address(const DomainEdit& edit, const Hostdev& hostdev);

/// The hostdevs of GPU `wanted`, its card's other functions included, or of all where it is empty.
std::vector<const Element*> hostdevs_to_detach(const Element& devices, std::string_view wanted);

/// The alias of the hostdev that has this function of GPU `alias`; the GPU's own is the first.
std::string alias_of_function(const std::string& alias, const PciAddress& function, bool is_first);

/// Adds the hostdev of an mdev, with the instance UUID of this domain and alias.
void insert_mdev(DomainEdit& edit, const std::string& alias, const std::string& model);

/// Where in the guest the functions of one card are put together, and a controller for them where
/// one is needed: libvirt by itself gives each hostdev a slot of its own.
struct GuestSlot {
  PciAddress address;
  std::string controller;
};

/// The value of a hostdev's `managed`.
const char* managed_word(bool managed);

/// Adds hostdevs for these functions of one card, in their order, as functions 0, 1, ... of a slot.
/// `managed` as is_managed() of their profile has it.
void insert_at(DomainEdit& edit, const std::string& alias, bool managed,
               const std::vector<PciAddress>& functions, GuestSlot guest);

/// The same in a free slot; a single function is placed by libvirt. Throws Error when none is free.
void insert_functions(DomainEdit& edit, const std::string& alias, bool managed,
                      const std::vector<PciAddress>& functions);

}  // namespace gpuward
