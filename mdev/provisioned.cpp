// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mdev/provisioned.hpp"

namespace gpuward {

Uuid provisioned_uuid(std::string_view parent, std::string_view type, unsigned number) {
  // The namespace of gpuward's own names, made at random once; it may never change.
  static constexpr Uuid name_space{{0x7c, 0x70, 0xed, 0x16, 0xe6, 0x7e, 0x42, 0xe9, 0x80, 0x78,
                                    0x0f, 0xaf, 0x76, 0x93, 0xba, 0x71}};
  std::string name(parent);
  name += '/';
  name += type;
  name += '/' + std::to_string(number);
  return name_uuid(name_space, name);
}

bool ProvisionedUuids::contains(const Instance& instance) {
  // Version 5 first: almost no other program has it.
  if (instance.uuid.bytes[6] >> 4 != 5 || instance.type.empty()) return false;
  std::set<Uuid>& uuids = known_[instance.parent + '/' + instance.type];
  while (!uuids.contains(instance.uuid) && uuids.size() < most_instances)
    uuids.insert(
        provisioned_uuid(instance.parent, instance.type, static_cast<unsigned>(uuids.size())));
  return uuids.contains(instance.uuid);
}

}  // namespace gpuward
