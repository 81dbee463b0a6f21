// One time step of an LSTM or a GRU for a few samples: what follows the matrix products. One thread.
//
// Rows of states are `padded` long, a multiple of the vector; what lies past `units` stays 0. A row of gates holds its
// gates one after the other, each `padded` long. Rows whose length is not beyond `position` stand still.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

using std::ptrdiff_t;

template <typename T>
struct RecurrentStep {
  ptrdiff_t rows = 0, units = 0, padded = 0;
  const std::int64_t* lengths = nullptr;  // (rows,), or null where all are long enough
  ptrdiff_t position = 0;
  T* gates = nullptr;  // forward: the products in, the gates out; backward: the gates
  ptrdiff_t gates_row = 0;
  T* h = nullptr;       // (rows, padded): the state, replaced
  T* c = nullptr;       // LSTM only
  T* kept_h = nullptr;  // the states before the step, for backward; null where it will not come
  T* kept_c = nullptr;  // LSTM only
  ptrdiff_t kept_row = 0;
  T* out = nullptr;  // the state after the step; 0 where a row stands still
  ptrdiff_t out_row = 0;
};

// d_h and d_c hold the gradient of the state after the step and get that of the state before it, less what comes
// through the recurrent product of the gates: that is added by the caller.
template <typename T>
struct RecurrentStepBackward {
  ptrdiff_t rows = 0, units = 0, padded = 0;
  const std::int64_t* lengths = nullptr;
  ptrdiff_t position = 0;
  const T* gates = nullptr;
  ptrdiff_t gates_row = 0;
  const T* kept_h = nullptr;  // GRU only
  const T* kept_c = nullptr;  // LSTM only
  ptrdiff_t kept_row = 0;
  const T* d_out = nullptr;  // or null for 0
  ptrdiff_t d_out_row = 0;
  T* d_gates = nullptr;
  ptrdiff_t d_gates_row = 0;
  T* d_bias = nullptr;  // a row of d_gates: their sum over the rows is added
  T* d_h = nullptr;
  T* d_c = nullptr;  // LSTM only
  // From a row of gates, states and d_out to the same of the step that is taken next, which is fetched; or 0.
  ptrdiff_t gates_next = 0, kept_next = 0, d_out_next = 0;
  const T* d_reset = nullptr;  // GRU with reset before the product only: d(r ∘ h), (rows, padded)
};

template <typename T>
struct RecurrentKernels {
  using Step = void (*)(const RecurrentStep<T>& step);
  using StepBackward = void (*)(const RecurrentStepBackward<T>& step);
  ptrdiff_t lanes;
  // gates: i f g o
  Step lstm;
  StepBackward lstm_backward;
  // gates: r z n and U h + b' of n; d_gates: r z n and that of U h + b'
  Step gru;
  StepBackward gru_backward;
  // The reset gate before the product: gates r z n and r ∘ h, d_gates r z n. First r, z and r ∘ h; then n and h.
  Step gru_reset;
  Step gru_update;
  // First d of z and n; then, with d_reset, of r.
  StepBackward gru_update_backward;
  StepBackward gru_reset_backward;
};

template <typename T>
const RecurrentKernels<T>& recurrent_kernels();

}  // namespace attendo::kernels
