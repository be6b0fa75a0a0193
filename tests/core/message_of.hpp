/// \file
/// What a call says when it refuses.
#pragma once

#include <string>

#include "catch.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

/// Message and status of the Error that `call` throws; fails the test when it throws none.
template <typename Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return {ExitStatus::kInternal, ""};
}

template <typename Call>
std::string message_of(Call&& call) {
  return error_of(call).what();
}

/// As message_of, of an error that is the user's to mend.
template <typename Call>
std::string refusal_of(Call&& call) {
  const Error error = error_of(call);
  CHECK(error.status() == ExitStatus::kBadInput);
  return error.what();
}

}  // namespace prune_sweep
