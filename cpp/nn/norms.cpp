#include "nn/norms.h"

#include "core/cost.h"
#include "ops/group_norm.h"
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
  CostScope scope(this);
  return scope.gives(rms_norm(x, weight(), eps_));
}

std::string RMSNorm::extra_repr() const { return concat(weight().size(), ", eps=", eps_); }

void RMSNorm::reset_own(Generator&) { fill(weight(), 1.0); }

GroupNorm::GroupNorm(Index num_groups, Index num_channels, double eps, bool affine, DType dtype)
    : groups_(num_groups), channels_(num_channels), eps_(eps), affine_(affine), dtype_(dtype) {
  if (channels_ < 1) value_error("GroupNorm: num_channels is ", channels_, " but must be 1 or more");
  if (groups_ < 1 || channels_ % groups_ != 0) {
    value_error("GroupNorm: num_groups is ", groups_, " but must be 1 or more and divide num_channels, which is ",
                channels_);
  }
  if (!(eps >= 0)) value_error("GroupNorm: eps is ", eps, " but must be 0 or more");
  if (!affine) return;
  make_parameter("weight", {channels_}, dtype);
  make_parameter("bias", {channels_}, dtype);
  reset_own(generator());
}

Tensor GroupNorm::operator()(const Tensor& x) {
  check_float("GroupNorm", "x", x);
  check_min_rank("GroupNorm", "x", x, 2, "(B, C, ...)");
  if (x.dim(1) != channels_) {
    value_error("GroupNorm: x has ", x.dim(1), " channels but num_channels is ", channels_);
  }
  if (x.dtype() != dtype_) {
    type_error("GroupNorm: x has dtype ", dtype_name(x.dtype()), " but the layer is of dtype ", dtype_name(dtype_));
  }
  CostScope scope(this);
  const auto& p = own_parameters();
  return scope.gives(group_norm(x, groups_, affine_ ? p[0].second : Tensor(), affine_ ? p[1].second : Tensor(), eps_));
}

std::string GroupNorm::extra_repr() const {
  return concat(groups_, ", ", channels_, ", eps=", eps_, affine_ ? "" : ", affine=False");
}

void GroupNorm::reset_own(Generator&) {
  if (!affine_) return;
  fill(own_parameters()[0].second, 1.0);
  fill(own_parameters()[1].second, 0.0);
}

}  // namespace attendo::nn
