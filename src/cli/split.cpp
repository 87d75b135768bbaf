#include "cli/split.hpp"

#include <algorithm>

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
  bool wants_value = false;  ///< the next word is its value
};

/// "--name", "--name=value", "-x", "-xvalue", "-xyz".
Word read_word(std::span<const OptionRow> options, std::string_view word) {
  Word read;
  if (word.starts_with("--")) {
    const auto equals = word.find('=');
    const OptionRow* option =
        find_long(options, word.substr(2, equals == std::string_view::npos ? equals : equals - 2));
    if (option == nullptr) return {.known = false};
    return {.options = {option}, .wants_value = needs_value(*option) && equals == std::string_view::npos};
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
    split.options.push_back(word);
    if (read.wants_value && at + 1 < arguments.size()) split.options.push_back(arguments[++at]);
  }
  split.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
  return split;
}

}  // namespace reapctl::cli
