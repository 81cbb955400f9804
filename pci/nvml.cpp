// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci/nvml.hpp"

#include <algorithm>
#include <cstdlib>

#include "base/child_process.hpp"
#include "base/file.hpp"
#include "base/quote.hpp"
#include "base/text.hpp"

namespace gpuward {

// ---- what the program prints

static constexpr size_t most_output = 64 << 10;

/// Numbers between single blanks; nothing where there are fewer, or what is none.
static std::optional<std::vector<unsigned>> numbers_in(const std::vector<std::string_view>& words,
                                                       size_t count) {
  if (words.size() < count + 1) return {};
  std::vector<unsigned> numbers;
  numbers.reserve(count);
  for (size_t at = 1; at <= count; ++at) {
    const auto number = to_number<unsigned>(words[at]);
    if (!number) return {};
    numbers.push_back(*number);
  }
  return numbers;
}

static bool parse_mode(const std::vector<std::string_view>& words, MigCard& card) {
  using Mode = MigCard::Mode;
  static constexpr std::pair<std::string_view, Mode> modes[] = {{"unsupported", Mode::unsupported},
                                                                {"off", Mode::off},
                                                                {"pending", Mode::pending},
                                                                {"on", Mode::on}};
  for (const auto& [word, mode] : modes)
    if (words.size() == 2 && words[1] == word) {
      card.mode = mode;
      return true;
    }
  return false;
}

/// They are words of the configuration, of claims and of a domain's metadata.
static bool is_profile_word(std::string_view name) {
  constexpr size_t longest = 40;
  return !name.empty() && name.size() <= longest &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '+' || c == '-';
         });
}

/// "profile 19 1 9728 7 6 MIG 1g.10gb"
static bool parse_profile(const std::vector<std::string_view>& words, MigCard& card) {
  const auto numbers = numbers_in(words, 5);
  if (!numbers || words.size() < 7) return false;
  const std::string_view name = words.back();
  if (!is_profile_word(name)) return false;
  card.profiles.push_back({(*numbers)[0], std::string(name), (*numbers)[1], (*numbers)[2],
                           (*numbers)[3], (*numbers)[4]});
  return true;
}

static bool parse_placement(const std::vector<std::string_view>& words, MigCard& card) {
  const auto numbers = numbers_in(words, 3);
  if (!numbers || words.size() != 4) return false;
  for (GpuInstanceProfile& profile : card.profiles)
    if (profile.id == (*numbers)[0]) {
      profile.places.push_back({(*numbers)[1], (*numbers)[2]});
      return true;
    }
  return false;
}

static bool parse_instance(const std::vector<std::string_view>& words, MigCard& card) {
  const auto numbers = numbers_in(words, 5);
  if (!numbers || words.size() != 6) return false;
  const auto& found = *numbers;
  card.instances.push_back({found[0], found[1], {found[2], found[3]}, found[4]});
  return true;
}

/// "scheduler fixed-share 2083333", with the time slice in ns.
static bool parse_scheduler(const std::vector<std::string_view>& words, MigCard& card) {
  using Policy = VgpuScheduler::Policy;
  static constexpr std::pair<std::string_view, Policy> policies[] = {
      {"best-effort", Policy::best_effort},
      {"equal-share", Policy::equal_share},
      {"fixed-share", Policy::fixed_share}};
  const auto time_slice = words.size() == 3 ? to_number<unsigned>(words[2]) : std::nullopt;
  if (!time_slice) return false;
  for (const auto& [word, policy] : policies)
    if (words[1] == word) {
      card.scheduler = {policy, *time_slice};
      return true;
    }
  return false;
}

static bool parse_line(std::string_view line, MigCard& card) {
  const auto words = split(line, ' ');
  if (words[0] == "scheduler") return parse_scheduler(words, card);
  if (words[0] == "mig") return parse_mode(words, card);
  if (words[0] == "profile") return parse_profile(words, card);
  if (words[0] == "placement") return parse_placement(words, card);
  return words[0] == "instance" && parse_instance(words, card);
}

std::optional<MigCard> parse_mig_card(std::string_view text) {
  MigCard card;
  if (!text.starts_with("mig ") || !text.ends_with('\n')) return {};
  text.remove_suffix(1);
  for (const std::string_view line : split(text, '\n'))
    if (!parse_line(line, card)) return {};
  return card;
}

const GpuInstanceProfile* find_gpu_instance_profile(const MigCard& card, std::string_view name) {
  for (const GpuInstanceProfile& profile : card.profiles)
    if (profile.name == name) return &profile;
  return nullptr;
}

// ---- places

static bool overlap(const MemorySlices& one, const MemorySlices& other) {
  return one.start < other.start + other.size && other.start < one.start + one.size;
}

static bool is_free(const MigCard& card, const MemorySlices& place) {
  return std::none_of(
      card.instances.begin(), card.instances.end(),
      [&](const GpuInstanceOfCard& instance) { return overlap(instance.place, place); });
}

/// Memory slices of all places that nothing could be in any more.
static unsigned lost_by(const MigCard& card, const MemorySlices& place) {
  unsigned lost = 0;
  for (const GpuInstanceProfile& profile : card.profiles)
    for (const MemorySlices& other : profile.places)
      if (is_free(card, other) && overlap(other, place)) lost += other.size;
  return lost;
}

std::optional<MemorySlices> choose_place(const MigCard& card, const GpuInstanceProfile& profile) {
  std::optional<MemorySlices> best;
  unsigned least = 0;
  if (profile.remaining == 0) return {};
  for (const MemorySlices& place : profile.places) {
    if (!is_free(card, place)) continue;
    const unsigned lost = lost_by(card, place);
    // Of equal ones the last, as the largest profiles begin at the first slice.
    if (best && (lost > least || (lost == least && place.start < best->start))) continue;
    best = place;
    least = lost;
  }
  return best;
}

// ---- the program

namespace {

struct Answer {
  std::string text;  ///< where it ended well
  std::string word;  ///< of an error: "in-use"
  bool timed_out = false;
  KernelChange change{};  ///< its failure: why there is no text
};

}  // namespace

/// What an error of the program means to an administrator.
static std::string problem_of(std::string_view word, const std::string& detail) {
  if (word == "no-library") return "NVIDIA's library libnvidia-ml.so.1 cannot be loaded: " + detail;
  if (word == "no-driver") return "NVIDIA's driver is not loaded";
  if (word == "no-permission") return "NVIDIA's driver refuses permission";
  if (word == "no-room") return "card has no room for the GPU instance";
  if (word == "in-use") return "GPU instance is in use";
  if (word == "mig-off") return "MIG mode is off";
  return "gpuward-nvml: " + detail;
}

/// "error in-use nvmlGpuInstanceDestroy returned 19"
static bool parse_error(std::string_view text, Answer& answer) {
  const auto at = text.rfind("error ");
  if (at == text.npos || (at != 0 && text[at - 1] != '\n') || !text.ends_with('\n')) return false;
  text = text.substr(at + 6, text.size() - at - 7);
  const auto end = text.find(' ');
  answer.word = text.substr(0, end);
  answer.change.failure =
      problem_of(answer.word, in_quotes(end == text.npos ? "" : text.substr(end + 1)));
  return true;
}

/// What is below a root of its own, such as a recorded host's, may be anybody's: its program is run
/// in tests alone, which say so, and as nobody.
static bool may_run_program(const Root& root) {
  return root.prefix.empty() || ::getenv("GPUWARD_RUN_PROGRAM_OF_ROOT") != nullptr;
}

static constexpr std::string_view nothing_to_ask = "no-library";

static Answer ask(const Root& root, std::vector<std::string> arguments,
                  const WriteOptions& options) {
  Answer answer;
  if (!may_run_program(root)) {
    answer.word = nothing_to_ask;
    answer.change.failure = "not known of a recorded host";
    return answer;
  }
  const bool is_host = root.prefix.empty();
  if (!is_host)
    arguments.insert(arguments.begin(), {"--library", root.at("/usr/lib/libnvidia-ml.so.1")});
  const std::string program = root.at("/usr/sbin/gpuward-nvml");
  if (!exists(program)) answer.word = nothing_to_ask;
  ProgramEnd end =
      read_program(program, arguments, options.end.at_most(options.deadline), most_output,
                   is_host ? RunAs::ourselves : RunAs::nobody, options.on_start);
  answer.change.blocked = end.blocked;
  answer.timed_out = end.blocked || end.failure.starts_with("timed out");
  if (end.blocked)
    answer.change.failure =
        "gpuward-nvml is " + blocked_in_kernel(end.blocked) + "; check: journalctl -k";
  else if (end.failure.empty())
    answer.text = std::move(end.output);
  else if (end.status != 1 || !parse_error(end.output, answer))
    answer.change.failure = "gpuward-nvml " + end.failure;
  return answer;
}

MigCard read_mig_card(const Root& root, const PciAddress& card,
                      std::chrono::milliseconds deadline) {
  const std::string title = "GPU instances of " + to_string(card);
  const Answer answer = ask(root, {"list", to_string(card)}, deadline);
  const std::string& failure = answer.change.failure;
  if (answer.word == nothing_to_ask) throw NoNvml(title, failure, "check: nvidia-smi");
  if (answer.timed_out) throw NvmlTimeout(title, failure, "check: nvidia-smi");
  if (!failure.empty()) throw Error(title, failure, "check: nvidia-smi");
  auto read = parse_mig_card(answer.text);
  if (!read) throw Error(title, "gpuward-nvml printed what is not a list");
  return std::move(*read);
}

static constexpr std::chrono::milliseconds deadline_of_question{2'000};

AskedCards::Answer AskedCards::ask(const Root& root, const PciAddress& card) {
  try {
    return {read_mig_card(root, card, deadline_of_question)};
  } catch (const NvmlTimeout&) {
    silent_ = card;
    return {{}, std::current_exception()};
  } catch (const Error&) {
    return {{}, std::current_exception()};
  }
}

const MigCard& AskedCards::read(const Root& root, const PciAddress& card) {
  auto known = answers_.find(card);
  if (known == answers_.end() && silent_ && after_ == After::timeout_asks_none)
    throw Error("GPU instances of " + to_string(card),
                "not asked, as gpuward-nvml did not answer for " + to_string(*silent_),
                "check: nvidia-smi");
  if (known == answers_.end()) known = answers_.emplace(card, ask(root, card)).first;
  if (known->second.failure) std::rethrow_exception(known->second.failure);
  return known->second.card;
}

std::optional<LinksOfCards> AskedCards::ask_links(const Root& root,
                                                  const std::vector<PciAddress>& cards) {
  if (silent_ && after_ == After::timeout_asks_none) return {};
  std::vector<std::string> arguments{"links"};
  arguments.reserve(cards.size() + 1);
  for (const PciAddress& card : cards) arguments.push_back(to_string(card));
  const auto answer = gpuward::ask(root, std::move(arguments), deadline_of_question);
  if (answer.timed_out) silent_ = cards.front();
  if (!answer.change.failure.empty()) return {};
  return parse_nvlinks(answer.text);
}

const LinksOfCards& AskedCards::links(const Root& root, const std::vector<PciAddress>& cards) {
  std::vector<PciAddress> unknown;
  for (const PciAddress& card : cards)
    if (asked_for_links_.insert(card).second) unknown.push_back(card);
  if (unknown.empty()) return links_;
  if (auto read = ask_links(root, unknown)) links_.merge(*read);
  return links_;
}

static Answer change(const Root& root, const char* verb, const PciAddress& card,
                     const GpuInstanceRef& wanted, const WriteOptions& options) {
  std::vector<std::string> arguments{verb, to_string(card), std::to_string(wanted.profile_id),
                                     std::to_string(wanted.place.start),
                                     std::to_string(wanted.place.size)};
  if (wanted.id) arguments.push_back(std::to_string(*wanted.id));
  return ask(root, std::move(arguments), options);
}

/// The program itself says that it did nothing, or undid what it had begun.
static bool is_refused(const Answer& answer) {
  return !answer.word.empty() && answer.word != "left";
}

CreatedGpuInstance create_gpu_instance(const Root& root, const PciAddress& card,
                                       const GpuInstanceRef& wanted, const WriteOptions& options) {
  Answer answer = change(root, "create", card, wanted, options);
  CreatedGpuInstance created{0, std::move(answer.change), is_refused(answer)};
  if (!created.change.failure.empty()) return created;
  const std::string_view text = answer.text;
  const auto id = text.starts_with("created ") ? to_number<unsigned>(trim(text.substr(8)))
                                               : std::optional<unsigned>();
  if (id)
    created.id = *id;
  else
    created.change.failure = "gpuward-nvml printed no id of the GPU instance";
  return created;
}

static DestroyedGpuInstance changed(Answer answer) {
  DestroyedGpuInstance result{std::move(answer.change), answer.word == "in-use"};
  if (result.change.failure.empty() && answer.text != "done\n" && answer.text != "absent\n")
    result.change.failure = "gpuward-nvml printed no result";
  return result;
}

DestroyedGpuInstance destroy_gpu_instance(const Root& root, const PciAddress& card,
                                          const GpuInstanceRef& gpu_instance,
                                          const WriteOptions& options) {
  return changed(change(root, "destroy", card, gpu_instance, options));
}

CreatedGpuInstance fill_gpu_instance(const Root& root, const PciAddress& card,
                                     const GpuInstanceRef& gpu_instance,
                                     const WriteOptions& options) {
  Answer answer = change(root, "fill", card, gpu_instance, options);
  CreatedGpuInstance filled{gpu_instance.id.value_or(0), std::move(answer.change),
                            is_refused(answer) || answer.text == "absent\n"};
  if (filled.change.failure.empty() && answer.text != "done\n")
    filled.change.failure = "GPU instance no longer exists";
  return filled;
}

DestroyedGpuInstance empty_gpu_instance(const Root& root, const PciAddress& card,
                                        const GpuInstanceRef& gpu_instance,
                                        const WriteOptions& options) {
  return changed(change(root, "empty", card, gpu_instance, options));
}

}  // namespace gpuward
