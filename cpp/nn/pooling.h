// Pooling as layers: no parameters, one operation.
#pragma once

#include <functional>

#include "core/cost.h"
#include "nn/module.h"
#include "ops/adaptive_pool.h"
#include "ops/window.h"

namespace attendo::nn {

class PoolLayer : public Module {
 public:
  Tensor operator()(const Tensor& x) {
    CostScope scope(this);
    return scope.gives(function_(x));
  }
  Tensors forward(const Tensors& inputs) override { return {(*this)(only_input(name_, inputs))}; }
  std::string type_name() const override { return name_; }
  std::string extra_repr() const override { return options_; }

 protected:
  using Function = std::function<Tensor(const Tensor&)>;
  PoolLayer(const char* name, std::string options, Function function)
      : name_(name), options_(std::move(options)), function_(std::move(function)) {}

 private:
  const char* name_;
  std::string options_;
  Function function_;
};

class MaxPool1d : public PoolLayer {
 public:
  explicit MaxPool1d(const Window& window, bool ceil_mode = false);
};

class MaxPool2d : public PoolLayer {
 public:
  MaxPool2d(const Window& height, const Window& width, bool ceil_mode = false);
};

class AvgPool1d : public PoolLayer {
 public:
  explicit AvgPool1d(const Window& window, bool ceil_mode = false, bool count_include_pad = true);
};

class AvgPool2d : public PoolLayer {
 public:
  AvgPool2d(const Window& height, const Window& width, bool ceil_mode = false, bool count_include_pad = true);
};

// Sizes as ops/adaptive_pool.h takes them.
class AdaptiveAvgPool1d : public PoolLayer {
 public:
  static constexpr const char* kName = "AdaptiveAvgPool1d";
  explicit AdaptiveAvgPool1d(Index length);
};

class AdaptiveAvgPool2d : public PoolLayer {
 public:
  static constexpr const char* kName = "AdaptiveAvgPool2d";
  AdaptiveAvgPool2d(Index height, Index width);
};

class AdaptiveMaxPool1d : public PoolLayer {
 public:
  static constexpr const char* kName = "AdaptiveMaxPool1d";
  explicit AdaptiveMaxPool1d(Index length);
};

class AdaptiveMaxPool2d : public PoolLayer {
 public:
  static constexpr const char* kName = "AdaptiveMaxPool2d";
  AdaptiveMaxPool2d(Index height, Index width);
};

}  // namespace attendo::nn
