// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/uuid.hpp"

#include <uuid/uuid.h>

namespace gpuward {

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != 36) return {};
  Uuid uuid;
  if (::uuid_parse(std::string(text).c_str(), uuid.bytes.data()) != 0) return {};
  return uuid;
}

std::string to_string(const Uuid& uuid) {
  char text[37];
  ::uuid_unparse_lower(uuid.bytes.data(), text);
  return text;
}

Uuid name_uuid(const Uuid& name_space, std::string_view name) {
  Uuid uuid;
  ::uuid_generate_sha1(uuid.bytes.data(), name_space.bytes.data(), name.data(), name.size());
  return uuid;
}

}  // namespace gpuward
