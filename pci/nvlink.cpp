// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/nvlink.hpp"

#include "base/text.hpp"

namespace gpuward {

/// "card 0000:41:00.0", then what is at the other end of each of its links: "gpu 0000:61:00.0",
/// "switch".
static bool parse_line(std::string_view line, LinksOfCards& cards, NvLinks*& last) {
  const auto words = split(line, ' ');
  if (words.size() == 1 && words[0] == "switch" && last) return last->has_switch = true;
  const auto address = words.size() == 2 ? parse_pci_address(words[1]) : std::nullopt;
  if (!address) return false;
  if (words[0] == "card") {
    last = &cards[*address];
    return true;
  }
  if (words[0] != "gpu" || !last) return false;
  last->cards.push_back(*address);
  return true;
}

std::optional<LinksOfCards> parse_nvlinks(std::string_view text) {
  LinksOfCards cards;
  NvLinks* last = nullptr;
  if (text.empty()) return cards;
  if (!text.ends_with('\n')) return {};
  text.remove_suffix(1);
  for (const std::string_view line : split(text, '\n'))
    if (!parse_line(line, cards, last)) return {};
  return cards;
}

}  // namespace gpuward
