#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace reapctl::sys {

/// Why an operation failed: the errno, what was tried, and on what. Each layer may add context in front.
struct Error {
  int code = 0;           ///< errno, or 0 when the failure is not one of the kernel's
  std::string operation;  ///< "open", "parse the duration", …
  std::string subject;    ///< a path, a pid, a value; may be empty

  /// "open /x: Permission denied". Uses strerror, hence for people; programs look at `code`.
  [[nodiscard]] std::string message() const;
};

/// The current errno as an Error. Call it first thing after the failing call.
[[nodiscard]] Error last_error(std::string_view operation, std::string_view subject = {});

/// "ENOENT" for ENOENT; the number as text for one glibc has no name for. Source: strerrorname_np(3).
[[nodiscard]] std::string errno_name(int code);

/// A value or an Error. C++20 has no std::expected; this is the part of it that reapctl needs.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] T& value() { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const { return std::get<0>(state_); }
  [[nodiscard]] T take() { return std::move(std::get<0>(state_)); }
  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace reapctl::sys
