#pragma once

#include "core/plan.hpp"

namespace reapctl::core {

/// What to do with a signal that reapctl has received.
enum class SignalUse {
  child_changed,    ///< SIGCHLD: reap
  stop,             ///< one of --stop-on
  typed_interrupt,  ///< ^C, which the command has heard already
  job_stop,         ///< ^Z and its like: the command decides whether the job stops
  forward,
  ignore,
};

struct ReceivedSignal {
  int number = 0;
  bool from_kernel = false;  ///< si_code SI_KERNEL: typed on the terminal, or its hangup
  bool ignored = false;      ///< our caller had it ignored, as a shell has SIGINT and SIGQUIT for `COMMAND &`
};

struct SignalContext {
  bool shared_group = false;    ///< the command is in our process group, so a typed signal has reached it too
  bool session_leader = false;  ///< a hangup is sent to the session leader alone (tty_io.c): the command has not had it
};

/// Sorts a received signal, by the contract: what is typed has reached the command and is not sent twice; CHLD,
/// PIPE, CONT, TSTP, TTIN and TTOU are never forwarded. What our caller had ignored stops nothing, but is forwarded as
/// it is: the command began with it ignored as well, and if it has a handler now, it would hear it without us.
[[nodiscard]] SignalUse classify(const ReceivedSignal& received, const SignalContext& context, const RunPlan& plan);

/// The same while there is no command yet, as during --splay: whatever would end a command asks to stop, which is
/// nothing that our caller had ignored.
[[nodiscard]] SignalUse classify_before_start(const ReceivedSignal& received, const SignalContext& context,
                                              const RunPlan& plan);

/// The signal to forward instead of `signal`, after --map; 0 for none.
[[nodiscard]] int mapped_signal(int signal, const RunPlan& plan);

}  // namespace reapctl::core
