// The norm of a Transformer layer
//
//   layer   (x - mean) / √(var + ε) γ + β        Ba et al. 2016
//   rms     x / √(mean x² + ε) γ                 Zhang and Sennrich 2019: Llama, T5
#include "nn/block_norm.h"

#include "ops/arithmetic.h"

namespace attendo::nn {

BlockNorm::BlockNorm(const std::string& kind, Index features, double eps, DType dtype) {
  if (kind == "layer") {
    layer_ = std::make_shared<LayerNorm>(features, eps, dtype);
  } else if (kind == "rms") {
    rms_ = std::make_shared<RMSNorm>(features, eps, dtype);
  } else {
    value_error("norm is '", kind, "' but must be 'layer' or 'rms'");
  }
}

ResidualNorm BlockNorm::operator()(const Tensor& x, const Tensor& r, Dropout& dropout, bool want_sum) const {
  if (layer_) return residual_norm(x, r, *layer_, dropout, want_sum);
  const Tensor sum = add(x, dropout(r));
  return {(*rms_)(sum), sum};
}

std::shared_ptr<Module> BlockNorm::module() const {
  if (layer_) return layer_;
  return rms_;
}

}  // namespace attendo::nn
