// While one lives, nothing is drawn on its thread: fill_uniform and fill_normal leave tensors as they are, and only
// count their streams. For a model whose parameters are all about to be read from a file: to draw them takes longer.
// And a file that describes more than it holds is found out before memory is taken for it.
#pragma once

#include <optional>

#include "core/shape.h"

namespace attendo {

class NoDraws {
 public:
  // most: numbers that the parameters of all modules made meanwhile may have together.
  explicit NoDraws(std::optional<Index> most = {});
  ~NoDraws();
  NoDraws(const NoDraws&) = delete;
  NoDraws& operator=(const NoDraws&) = delete;
  static bool active();
  // A parameter of so many numbers is about to be made: throws where that is too many.
  static void count(Index numbers);

 private:
  std::optional<Index> before_;
};

}  // namespace attendo
