#include "nn/convolution.h"

#include "core/cost.h"
#include "ops/conv1d.h"
#include "ops/conv2d.h"

namespace attendo::nn {
namespace {

void check_layer(const char* layer, Index in_channels, Index out_channels, Index groups) {
  check_size(layer, "in_channels", in_channels, 1);
  check_size(layer, "out_channels", out_channels, 1);
  check_size(layer, "groups", groups, 1);
  if (in_channels % groups != 0 || out_channels % groups != 0) {
    value_error(layer, ": groups is ", groups, " but must divide in_channels, ", in_channels, ", and out_channels, ",
                out_channels);
  }
}

Tensor bias_of(const Module& layer) {
  return layer.own_parameters().size() > 1 ? layer.own_parameters()[1].second : Tensor();
}

void draw(const Module& layer, Generator& generator) {
  const Shape& weight = layer.own_parameters()[0].second.shape();
  for (const auto& [name, value] : layer.own_parameters()) {
    init_uniform(value, weight.product(1, weight.rank()), generator);
  }
}

}  // namespace

Conv1d::Conv1d(Index in_channels, Index out_channels, const Window& window, Index groups, bool bias, DType dtype)
    : in_(in_channels), out_(out_channels), groups_(groups), window_(window) {
  check_layer("Conv1d", in_, out_, groups_);
  check_window("Conv1d", window_);
  make_parameter("weight", {out_, in_ / groups_, window_.kernel}, dtype);
  if (bias) make_parameter("bias", {out_}, dtype);
  reset_own(generator());
}

Tensor Conv1d::operator()(const Tensor& x) {
  CostScope scope(this);
  return scope.gives(conv1d(x, own_parameters()[0].second, bias_of(*this), window_, groups_));
}

std::string Conv1d::extra_repr() const {
  return concat(in_, ", ", out_, ", kernel_size=", window_.kernel, ", stride=", window_.stride,
                ", padding=", window_.same ? "'same'" : std::to_string(window_.padding),
                window_.dilation == 1 ? "" : concat(", dilation=", window_.dilation),
                groups_ == 1 ? "" : concat(", groups=", groups_));
}

void Conv1d::reset_own(Generator& generator) { draw(*this, generator); }

Conv2d::Conv2d(Index in_channels, Index out_channels, const Window& height, const Window& width, Index groups,
               bool bias, DType dtype)
    : in_(in_channels), out_(out_channels), groups_(groups), height_(height), width_(width) {
  check_layer("Conv2d", in_, out_, groups_);
  check_window("Conv2d", height_);
  check_window("Conv2d", width_);
  make_parameter("weight", {out_, in_ / groups_, height_.kernel, width_.kernel}, dtype);
  if (bias) make_parameter("bias", {out_}, dtype);
  reset_own(generator());
}

Tensor Conv2d::operator()(const Tensor& x) {
  CostScope scope(this);
  return scope.gives(conv2d(x, own_parameters()[0].second, bias_of(*this), height_, width_, groups_));
}

std::string Conv2d::extra_repr() const {
  const Window &h = height_, &w = width_;
  return concat(in_, ", ", out_, ", kernel_size=", Shape{h.kernel, w.kernel}, ", stride=", Shape{h.stride, w.stride},
                ", padding=", h.same ? "'same'" : Shape{h.padding, w.padding}.str(),
                h.dilation == 1 && w.dilation == 1 ? "" : concat(", dilation=", Shape{h.dilation, w.dilation}),
                groups_ == 1 ? "" : concat(", groups=", groups_));
}

void Conv2d::reset_own(Generator& generator) { draw(*this, generator); }

}  // namespace attendo::nn
