#pragma once

#include "nn/layers.h"
#include "nn/norms.h"

namespace attendo::nn {

// The norm of a Transformer layer: 'layer' or 'rms'. A handle: copies share the parameters.
class BlockNorm {
 public:
  BlockNorm() = default;
  BlockNorm(const std::string& kind, Index features, double eps, DType dtype);

  Tensor operator()(const Tensor& x) const { return layer_ ? (*layer_)(x) : (*rms_)(x); }
  // norm(x + dropout(r)); the sum itself too when `want_sum`.
  ResidualNorm operator()(const Tensor& x, const Tensor& r, Dropout& dropout, bool want_sum = false) const;
  std::shared_ptr<Module> module() const;
  explicit operator bool() const { return layer_ || rms_; }

 private:
  std::shared_ptr<LayerNorm> layer_;
  std::shared_ptr<RMSNorm> rms_;
};

}  // namespace attendo::nn
