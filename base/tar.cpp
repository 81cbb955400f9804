// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/tar.hpp"

#include <array>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace gpuward {

static constexpr size_t block = 512;

/// tar(5), "Old-Style" with the magic of GNU tar. Numbers are octal text.
struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char typeflag;
  char linkname[100];
  char magic[8];
  char uname[32];
  char gname[32];
  char rest[183];
};
static_assert(sizeof(Header) == block);

static constexpr char regular = '0', symbolic_link = '2', directory = '5';
static constexpr char long_target = 'K', long_name = 'L';  // of the entry that follows

template <size_t size>
static void set_octal(char (&field)[size], unsigned long long value) {
  std::snprintf(field, size, "%0*llo", static_cast<int>(size) - 1, value);
}

/// What is longer was put before the header, as an entry of its own.
template <size_t size>
static void set_text(char (&field)[size], std::string_view text) {
  text.copy(field, size);
}

/// The sum of all bytes, with the field itself as blanks.
static void set_checksum(Header& header) {
  std::memset(header.checksum, ' ', sizeof header.checksum);
  std::array<unsigned char, block> bytes{};
  std::memcpy(bytes.data(), &header, block);
  const unsigned sum = std::accumulate(bytes.begin(), bytes.end(), 0U);
  std::snprintf(header.checksum, sizeof header.checksum, "%06o", sum);
}

void Tar::add_header(std::string_view path, char type, std::string_view target, size_t size) {
  Header header{};
  set_text(header.name, path);
  set_octal(header.mode, type == directory ? 0755 : 0644);
  set_octal(header.uid, 0);
  set_octal(header.gid, 0);
  set_octal(header.size, size);
  set_octal(header.mtime, static_cast<unsigned long long>(time_));
  header.typeflag = type;
  set_text(header.linkname, target);
  std::memcpy(header.magic, "ustar  ", sizeof header.magic);
  std::snprintf(header.uname, sizeof header.uname, "root");
  std::snprintf(header.gname, sizeof header.gname, "root");
  set_checksum(header);
  archive_.append(reinterpret_cast<const char*>(&header), block);
}

void Tar::add_data(std::string_view data) {
  archive_ += data;
  archive_.append((block - data.size() % block) % block, '\0');
}

void Tar::add(std::string_view path, char type, std::string_view target, std::string_view text) {
  const auto add_long = [&](char kind, std::string_view name) {
    if (name.size() <= sizeof Header::name) return;
    add_header("././@LongLink", kind, {}, name.size() + 1);
    add_data(std::string(name) + '\0');
  };
  add_long(long_target, target);
  add_long(long_name, path);
  add_header(path, type, target, text.size());
  add_data(text);
}

void Tar::add_file(std::string_view path, std::string_view text) {
  add(path, regular, {}, text);
}

void Tar::add_link(std::string_view path, std::string_view target) {
  add(path, symbolic_link, target, {});
}

void Tar::add_directory(std::string_view path) {
  add(std::string(path) + '/', directory, {}, {});
}

std::string Tar::text() const {
  return archive_ + std::string(2 * block, '\0');
}

}  // namespace gpuward
