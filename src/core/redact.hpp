#pragma once

#include "core/report.hpp"

#include <string>
#include <vector>

namespace reapctl::core {

/// A command line as reports may show it (--report-args). `full` is the arguments as they are, `none` is no argument.
///
/// `redacted` replaces by "***"
/// - the value of an assignment whose name contains pass, token, secret or key, in any case: "--password=x",
///   "API_TOKEN=x", "--env=API_TOKEN=x", "?a=1&token=x"; everything up to the end of the argument is the value;
/// - the word after an option with such a name, in the next argument or in the same one ("sh -c 'x --token y'"),
///   unless that word begins with "-";
/// - the password in "scheme://user:password@host", wherever it stands (RFC 3986, 3.2.1).
/// The rule looks at names only and is meant to hide too much rather than too little: "--monkey=1" is redacted.
[[nodiscard]] std::vector<std::string> redact_args(const std::vector<std::string>& args, ArgsShown shown);

}  // namespace reapctl::core
