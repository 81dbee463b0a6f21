#include "nn/norms.h"

#include "ops/rms_norm.h"

namespace attendo::nn {
namespace {

void fill(const Tensor& parameter, double value) {
  const Tensor start = Tensor::full(parameter.shape(), parameter.dtype(), value);
  std::copy_n(start.raw(), parameter.bytes(), parameter.raw());
}

}  // namespace

RMSNorm::RMSNorm(Index normalized_shape, double eps, DType dtype) : eps_(eps) {
  if (normalized_shape < 1) {
    value_error("RMSNorm: normalized_shape is ", normalized_shape, " but must be 1 or more");
  }
  if (!(eps >= 0)) value_error("RMSNorm: eps is ", eps, " but must be 0 or more");
  make_parameter("weight", {normalized_shape}, dtype);
  reset_own(generator());
}

Tensor RMSNorm::operator()(const Tensor& x) {
  check_input("RMSNorm", "x", x, 0, weight().size(), weight().dtype());
  return rms_norm(x, weight(), eps_);
}

std::string RMSNorm::extra_repr() const { return concat(weight().size(), ", eps=", eps_); }

void RMSNorm::reset_own(Generator&) { fill(weight(), 1.0); }

}  // namespace attendo::nn
