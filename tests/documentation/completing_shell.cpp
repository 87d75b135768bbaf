#include "documentation/completing_shell.hpp"

#include "support/tool.hpp"

#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

namespace reapctl::test {
namespace {

constexpr char kBashCompletion[] = "/usr/share/bash-completion/bash_completion";

// What the completion function of readline, or of zsh's line editor, offers is printed between "<<<" and ">>>". These
// are not in the line that is typed, so what the terminal echoes is not taken for them.
constexpr char kBashSetUp[] = R"(
PS1='READY> '
HISTFILE=
. /usr/share/bash-completion/bash_completion
. "$REAPCTL_COMPLETIONS/reapctl.bash"
shown() { _reapctl "$@"; printf '\n<<<\n'; printf '%s\n' "${COMPREPLY[@]}"; printf '>>>\n'; }
complete -F shown reapctl
)";
constexpr char kZshSetUp[] = R"(
PS1='READY> '
LISTMAX=10000
setopt no_beep
fpath=("$REAPCTL_COMPLETIONS" $fpath)
autoload -U compinit && compinit -u -D
typeset -ga seen
compadd() {
  local -a got
  if [[ ${@[1,(i)-(|-)]} != *-[OAD]* ]]; then
    builtin compadd -A got "$@"
    seen+=("$got[@]")
  fi
  builtin compadd "$@"
}
shown() {
  seen=()
  zle list-choices
  print
  print -rl -- '<<<' "$seen[@]" '>>>'
}
zle -N shown
bindkey '^I' shown
)";

std::set<std::string> lines_in(const std::string& text) {
  std::set<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    line = line.substr(0, line.find_first_of("\r\t"));  // fish has a description behind a tab
    while (line.ends_with(' ')) line.pop_back();
    if (line.starts_with("--") && line.ends_with('=')) line.pop_back();  // fish offers a value that may be left out so
    if (!line.empty()) lines.insert(line);
  }
  return lines;
}

}  // namespace

std::string CompletingShell::obstacle(const std::string& shell) {
  if (quiet_status({shell, "-c", "exit 0"}) != 0) return shell + " is not installed";
  if (shell == "bash" && !std::filesystem::exists(kBashCompletion)) return "bash-completion is not installed";
  return "";
}

CompletingShell::CompletingShell(const std::string& shell) : shell_(shell) {
  const std::string directory = std::filesystem::path(reapctl_path()).parent_path();
  std::map<std::string, std::string> env = {{"HOME", home_ / ""},
                                            {"ZDOTDIR", home_ / ""},
                                            {"XDG_CONFIG_HOME", home_ / "config"},
                                            {"XDG_DATA_HOME", home_ / "data"},
                                            {"XDG_CACHE_HOME", home_ / "cache"},
                                            {"TERM", "xterm"},
                                            {"LC_ALL", "C.UTF-8"},
                                            {"PATH", directory + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
                                            {"REAPCTL_COMPLETIONS", std::string(REAPCTL_TEST_SOURCE) + "/completions"}};
  if (shell == "bash") {
    write_file(home_ / "bashrc", kBashSetUp);
    terminal_ = std::make_unique<Terminal>(Args{"bash", "--rcfile", home_ / "bashrc", "-i"}, env);
  } else if (shell == "zsh") {
    write_file(home_ / ".zshrc", kZshSetUp);
    terminal_ = std::make_unique<Terminal>(Args{"zsh", "-i"}, env);
  } else {
    write_file(home_ / "ask",
               "cat | while read -l line\n  echo\n  echo '<<<'\n  complete -C $line\n  echo '>>>'\nend\n");
    terminal_ =
        std::make_unique<Terminal>(Args{"fish", "-C", "source $REAPCTL_COMPLETIONS/reapctl.fish", home_ / "ask"}, env);
    return;
  }
  (void)terminal_->expect("READY> ");
}

std::set<std::string> CompletingShell::offered(const std::string& line) {
  terminal_->type(line + (shell_ == "fish" ? "\n" : "\t"));
  const std::string shown = terminal_->expect("\n<<<");
  EXPECT_EQ(shown.find("o such file"), std::string::npos) << shown;
  EXPECT_EQ(shown.find("not found"), std::string::npos) << shown;
  const std::string offered = terminal_->expect(">>>");
  if (shell_ != "fish") terminal_->type("\x15");  // ^U takes the line away
  return lines_in(offered);
}

}  // namespace reapctl::test
