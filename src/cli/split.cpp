#include "cli/split.hpp"

#include <algorithm>
#include <optional>

namespace reapctl::cli {
namespace {

const OptionRow* find_long(std::span<const OptionRow> options, std::string_view name) {
  const auto found =
      std::find_if(options.begin(), options.end(), [&](const OptionRow& row) { return row.name == name; });
  return found == options.end() ? nullptr : &*found;
}

const OptionRow* find_letter(std::span<const OptionRow> options, char letter) {
  const auto found =
      std::find_if(options.begin(), options.end(), [&](const OptionRow& row) { return row.letter == letter; });
  return found == options.end() ? nullptr : &*found;
}

bool needs_value(const OptionRow& row) {
  return *row.value != '\0' && !row.value_optional;
}

struct Word {
  std::vector<const OptionRow*> options;  ///< one, or several letters
  bool known = true;
  bool wants_value = false;                  ///< the next word is its value
  std::optional<std::string_view> attached;  ///< what follows the equals sign of a long option
};

/// "--name", "--name=value", "-x", "-xvalue", "-xyz".
Word read_word(std::span<const OptionRow> options, std::string_view word) {
  Word read;
  if (word.starts_with("--")) {
    const auto equals = word.find('=');
    if (equals != std::string_view::npos) read.attached = word.substr(equals + 1);
    const OptionRow* option = find_long(options, word.substr(2, read.attached ? equals - 2 : equals));
    if (option == nullptr) return {.known = false};
    read.options = {option};
    read.wants_value = needs_value(*option) && !read.attached;
    return read;
  }
  for (std::size_t at = 1; at < word.size(); ++at) {
    const OptionRow* option = find_letter(options, word[at]);
    if (option == nullptr) return {.known = false};
    read.options.push_back(option);
    if (!needs_value(*option)) continue;
    read.wants_value = at + 1 == word.size();
    break;
  }
  return read;
}

}  // namespace

sys::Result<SplitArguments> split_command(std::span<const OptionRow> options,
                                          const std::vector<std::string>& arguments) {
  SplitArguments split;
  std::size_t at = 0;
  for (; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (word == "--") {
      ++at;
      break;
    }
    if (word.size() < 2 || word.front() != '-') break;
    const Word read = read_word(options, word);
    if (!read.known) {
      return sys::Error{.code = 0,
                        .operation = "unknown option \"" + word +
                                     "\": an option of the wrapped command comes after it; see reapctl run --help",
                        .subject = {}};
    }
    for (const OptionRow* option : read.options) split.mentioned.push_back(option);
    if (read.attached && *read.options.front()->value == '\0') {
      return sys::Error{.code = 0,
                        .operation = "--" + std::string(read.options.front()->name) + " \"" +
                                     std::string(*read.attached) + "\": takes no value",
                        .subject = {}};
    }
    if (read.attached && needs_value(*read.options.front())) {
      // As two words: CLI11 2.1.2 takes the word after "--name=" for its value.
      split.options.push_back("--" + std::string(read.options.front()->name));
      split.options.emplace_back(*read.attached);
      continue;
    }
    split.options.push_back(word);
    if (read.wants_value && at + 1 < arguments.size()) split.options.push_back(arguments[++at]);
  }
  split.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
  return split;
}

}  // namespace reapctl::cli
