#include "cli/split.hpp"

#include <CLI/CLI.hpp>

namespace reapctl::cli {
namespace {

const CLI::Option* find_option(const CLI::App& app, const std::string& name) {
  if (const CLI::Option* option = app.get_option_no_throw(name)) return option;
  return app.get_parent() != nullptr ? find_option(*app.get_parent(), name) : nullptr;
}

bool needs_value(const CLI::Option& option) {
  return option.get_items_expected_min() > 0;
}

enum class Word { complete, wants_value, unknown };

/// "--name", "--name=value", "-x", "-xvalue", "-xyz".
Word classify(const CLI::App& app, const std::string& word) {
  if (word.starts_with("--")) {
    const auto equals = word.find('=');
    const CLI::Option* option = find_option(app, word.substr(0, equals));
    if (option == nullptr) return Word::unknown;
    return needs_value(*option) && equals == std::string::npos ? Word::wants_value : Word::complete;
  }
  for (std::size_t at = 1; at < word.size(); ++at) {
    const CLI::Option* option = find_option(app, std::string("-").append(1, word[at]));
    if (option == nullptr) return Word::unknown;
    if (needs_value(*option)) return at + 1 == word.size() ? Word::wants_value : Word::complete;
  }
  return Word::complete;
}

}  // namespace

sys::Result<SplitArguments> split_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  SplitArguments split;
  std::size_t at = 0;
  for (; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (word == "--") {
      ++at;
      break;
    }
    if (word.size() < 2 || word.front() != '-') break;
    const Word kind = classify(app, word);
    if (kind == Word::unknown) {
      return sys::Error{.code = 0,
                        .operation = "unknown option \"" + word +
                                     "\": see reapctl run --help; an option of the command comes after the command",
                        .subject = {}};
    }
    split.options.push_back(word);
    if (kind == Word::wants_value && at + 1 < arguments.size()) split.options.push_back(arguments[++at]);
  }
  split.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
  return split;
}

}  // namespace reapctl::cli
