#pragma once

#include "core/autograd.h"

namespace attendo {

struct GruResult {
  Tensor out;  // (B, S, H)
  Tensor h_n;  // (B, H)
};

// As lstm, with three gates in the order r z n. `reset_after`: the reset gate scales U h + b' (PyTorch, cuDNN); else it
// scales h before the product (Cho et al. 2014).
GruResult gru(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias_ih,
              const Tensor& bias_hh, const Tensor& h_0, const Tensor& lengths, bool reverse, bool reset_after);

}  // namespace attendo
