// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gpuward {

/// "key = value" as written, continuation lines joined, comments gone.
struct IniEntry {
  int line = 0;
  std::string key;
  std::string value;
};

struct IniSection {
  int line = 0;
  std::string header;  ///< what is between the brackets
  std::vector<IniEntry> entries;
};

struct IniProblem {
  int line = 0;
  std::string message;
};

struct IniFile {
  std::vector<IniSection> sections;
  std::vector<IniProblem> problems;  ///< whatever has not the form of an INI file
};

/// Takes the text of a file apart. Says nothing about which sections and keys make sense.
IniFile parse_ini(std::string_view text);

}  // namespace gpuward
