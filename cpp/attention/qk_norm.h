#pragma once

#include "core/autograd.h"

namespace attendo {

// x (…, H, N, D) -> the same: every row divided by its length. A row of zeros stays one, and has gradient 0.
Tensor l2_normalize(const Tensor& x);

// Every row divided by √(mean of squares + eps), times weight: (D,), (H, D) or undefined.
Tensor rms_normalize(const char* name, const Tensor& x, const Tensor& weight, double eps);

enum class QkNorm { kNone, kRms, kL2 };

// q (…, H, L, D) and k (…, Hkv, S, D) as the scores see them. Weights are those of "rms", and may be undefined.
struct QkNormOptions {
  QkNorm norm = QkNorm::kNone;
  Tensor q_weight, k_weight;
  double eps = 1e-6;
};
std::pair<Tensor, Tensor> qk_norm(const Tensor& q, const Tensor& k, const QkNormOptions& options);

}  // namespace attendo
