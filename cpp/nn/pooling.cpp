#include "nn/pooling.h"

#include "ops/avg_pool.h"
#include "ops/max_pool.h"

namespace attendo::nn {
namespace {

std::string modes(bool ceil_mode, bool count_include_pad) {
  return concat(ceil_mode ? ", ceil_mode=True" : "", count_include_pad ? "" : ", count_include_pad=False");
}

std::string options_of(const Window& w, bool ceil_mode, bool count_include_pad = true) {
  return concat("kernel_size=", w.kernel, ", stride=", w.stride, ", padding=", w.padding,
                w.dilation == 1 ? "" : concat(", dilation=", w.dilation), modes(ceil_mode, count_include_pad));
}

std::string options_of(const Window& h, const Window& w, bool ceil_mode, bool count_include_pad = true) {
  return concat("kernel_size=", Shape{h.kernel, w.kernel}, ", stride=", Shape{h.stride, w.stride},
                ", padding=", Shape{h.padding, w.padding},
                h.dilation == 1 && w.dilation == 1 ? "" : concat(", dilation=", Shape{h.dilation, w.dilation}),
                modes(ceil_mode, count_include_pad));
}

std::string size_of(Index size) { return size == kKeepSize ? "None" : std::to_string(size); }

void check_output(const char* layer, Index size) {
  if (size != kKeepSize) check_size(layer, "output_size", size, 1);
}

}  // namespace

MaxPool1d::MaxPool1d(const Window& window, bool ceil_mode)
    : PoolLayer("MaxPool1d", options_of(window, ceil_mode),
                [=](const Tensor& x) { return max_pool1d(x, window, ceil_mode); }) {
  check_pooling("MaxPool1d", window);
}

MaxPool2d::MaxPool2d(const Window& height, const Window& width, bool ceil_mode)
    : PoolLayer("MaxPool2d", options_of(height, width, ceil_mode),
                [=](const Tensor& x) { return max_pool2d(x, height, width, ceil_mode); }) {
  check_pooling("MaxPool2d", height);
  check_pooling("MaxPool2d", width);
}

AvgPool1d::AvgPool1d(const Window& window, bool ceil_mode, bool count_include_pad)
    : PoolLayer("AvgPool1d", options_of(window, ceil_mode, count_include_pad),
                [=](const Tensor& x) { return avg_pool1d(x, window, ceil_mode, count_include_pad); }) {
  check_pooling("AvgPool1d", window);
}

AvgPool2d::AvgPool2d(const Window& height, const Window& width, bool ceil_mode, bool count_include_pad)
    : PoolLayer("AvgPool2d", options_of(height, width, ceil_mode, count_include_pad),
                [=](const Tensor& x) { return avg_pool2d(x, height, width, ceil_mode, count_include_pad); }) {
  check_pooling("AvgPool2d", height);
  check_pooling("AvgPool2d", width);
}

AdaptiveAvgPool1d::AdaptiveAvgPool1d(Index length)
    : PoolLayer(kName, concat("output_size=", size_of(length)),
                [=](const Tensor& x) { return adaptive_avg_pool1d(x, length); }) {
  check_output(kName, length);
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(Index height, Index width)
    : PoolLayer(kName, concat("output_size=(", size_of(height), ", ", size_of(width), ")"),
                [=](const Tensor& x) { return adaptive_avg_pool2d(x, height, width); }) {
  check_output(kName, height);
  check_output(kName, width);
}

AdaptiveMaxPool1d::AdaptiveMaxPool1d(Index length)
    : PoolLayer(kName, concat("output_size=", size_of(length)),
                [=](const Tensor& x) { return adaptive_max_pool1d(x, length); }) {
  check_output(kName, length);
}

AdaptiveMaxPool2d::AdaptiveMaxPool2d(Index height, Index width)
    : PoolLayer(kName, concat("output_size=(", size_of(height), ", ", size_of(width), ")"),
                [=](const Tensor& x) { return adaptive_max_pool2d(x, height, width); }) {
  check_output(kName, height);
  check_output(kName, width);
}

}  // namespace attendo::nn
