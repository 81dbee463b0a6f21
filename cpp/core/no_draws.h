// While one lives, nothing is drawn on its thread: fill_uniform and fill_normal leave tensors as they are, and only
// count their streams. For a model whose parameters are all about to be read from a file: to draw them takes longer.
#pragma once

namespace attendo {

class NoDraws {
 public:
  NoDraws();
  ~NoDraws();
  NoDraws(const NoDraws&) = delete;
  NoDraws& operator=(const NoDraws&) = delete;
  static bool active();
};

}  // namespace attendo
