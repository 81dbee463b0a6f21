#pragma once

#include "core/autograd.h"

namespace attendo {

struct LstmResult {
  Tensor out;       // (B, S, H)
  Tensor h_n, c_n;  // (B, H)
};

// x (B, S, in); weights (4 H, in) and (4 H, H), biases (4 H,) or undefined, gates in the order i f g o; states h_0 and
// c_0 (B, H), undefined for zeros; lengths (B,) int64 or undefined. `reverse`: from the last step to the first.
LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias_ih,
                const Tensor& bias_hh, const Tensor& h_0, const Tensor& c_0, const Tensor& lengths, bool reverse);

}  // namespace attendo
