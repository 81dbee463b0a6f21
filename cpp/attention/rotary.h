#pragma once

#include <vector>

#include "core/autograd.h"

namespace attendo {

inline constexpr Index kAllFeatures = -1;

struct RotaryOptions {
  Tensor positions;  // int64 (L,) or (…, L); undefined: offset, offset + 1, …
  Index offset = 0;
  double base = 10000;
  std::vector<double> frequencies;  // of each pair; empty: base^(-2k / rotary_dim)
  Index rotary_dim = kAllFeatures;  // the first of the D features, in pairs
  bool interleaved = false;         // pairs (2k, 2k + 1), else (k, k + rotary_dim / 2)
  Tensor cos, sin;                  // (P, rotary_dim / 2), read at the positions, or (…, L, rotary_dim / 2)
};

// x (…, H, L, D) -> the same, each pair of features turned by position · frequency.
Tensor rotary(const Tensor& x, const RotaryOptions& options);
// The same of x (B, L, H·D), heads side by side as projections leave them. positions: (L,) or (B, L).
Tensor rotary_heads(const Tensor& x, Index head_dim, const RotaryOptions& options);

// How the frequencies are changed for contexts longer than those of the training.
struct FrequencyScaling {
  enum class Kind { kNone, kLinear, kNtk, kLlama3, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low = 1, high = 4;    // llama3: low_freq_factor, high_freq_factor; yarn: beta_slow, beta_fast
  double original_length = 0;  // original_max_position_embeddings
};

// (dim / 2,) frequencies
std::vector<double> inverse_frequencies(Index dim, double base, const FrequencyScaling& scaling);

}  // namespace attendo
