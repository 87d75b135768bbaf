#include "support/users.hpp"

namespace reapctl::test {
namespace {

/// Runs before each script. `victim` is a process of root's, `precious` a directory of his.
constexpr char kPrologue[] = R"(
mount -t tmpfs tmpfs /run || exit 99
mkdir -m 1777 /run/base /run/reapctl
mkdir /run/precious && echo x > /run/precious/file
setsid sleep 1000 & victim=$!
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups env -u REAPCTL_REGISTRY "$@"; }
unset REAPCTL_REGISTRY
pid_of() { sed 's/.*"'$1'":{"pid":\([0-9]*\).*/\1/' "$record"; }
ticks_of() { sed 's/.*) //' /proc/$1/stat | cut -d' ' -f20; }
# Starts a run of nobody's and waits until its record is complete: reapctl writes it once more when the command runs.
run_of_nobody() {
  as_nobody setsid "$reapctl" run --report none --workdir-base /run/base -- "$@" &
  until grep -q '"origin":{' /run/reapctl/65534/*/record.json 2>/dev/null; do :; done
  record=$(echo /run/reapctl/65534/*/record.json)
  supervisor=$(pid_of supervisor) guard=$(pid_of guard) main=$(pid_of main)
}
# Kills its reapctl; the supervisor first, so that the guard's death continues nobody.
orphan_of_nobody() {
  run_of_nobody "$@"
  kill -STOP $guard; kill -KILL $supervisor
  while alive $supervisor; do :; done
  kill -KILL $guard
  while alive $guard; do :; done
}
alive() { grep -q '^State:.[^XZ]' /proc/$1/status 2>/dev/null; }
)";

}  // namespace

Outcome in_users_namespaces(const std::string& script) {
  return run({.args = {},
              .wrapper = {"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                          "reapctl=$0; " + std::string(kPrologue) + script},
              .leaves_processes = true});
}

}  // namespace reapctl::test
