#include "bindings/convert.h"
#include "nn/convolution.h"
#include "nn/pooling.h"
#include "ops/avg_pool.h"
#include "ops/conv1d.h"
#include "ops/conv2d.h"
#include "ops/max_pool.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

// padding= of a convolution that is a word; false for anything else.
bool named_padding(const char* op, Object padding, Window& window) {
  if (!py::isinstance<py::str>(padding)) return false;
  const auto name = py::cast<std::string>(padding);
  if (name != "same" && name != "valid") {
    value_error(op, ": padding is ", py::cast<std::string>(py::repr(padding)),
                " but must be 'same', 'valid' or a number");
  }
  window.same = name == "same";
  return true;
}

Window window_1d(const char* op, Object stride, Object dilation) {
  Window w;
  w.stride = index_arg(op, "stride", stride);
  w.dilation = index_arg(op, "dilation", dilation);
  return w;
}

Window conv_1d(const char* op, Object stride, Object padding, Object dilation) {
  Window w = window_1d(op, stride, dilation);
  if (!named_padding(op, padding, w)) w.padding = index_arg(op, "padding", padding);
  return w;
}

Window pool_1d(const char* op, Object kernel_size, Object stride, Object padding, Object dilation) {
  const Index kernel = index_arg(op, "kernel_size", kernel_size);
  Window w = window_1d(op, stride.is_none() ? kernel_size : stride, dilation);
  w.kernel = kernel;
  w.padding = index_arg(op, "padding", padding);
  return w;
}

struct Windows {
  Window h, w;
};

Windows windows_2d(const char* op, const std::pair<Index, Index>& stride, Object dilation) {
  const auto spread = pair_arg(op, "dilation", dilation);
  Windows out;
  out.h.stride = stride.first, out.w.stride = stride.second;
  out.h.dilation = spread.first, out.w.dilation = spread.second;
  return out;
}

Windows conv_2d(const char* op, Object stride, Object padding, Object dilation) {
  Windows out = windows_2d(op, pair_arg(op, "stride", stride), dilation);
  if (named_padding(op, padding, out.h)) {
    out.w.same = out.h.same;
  } else {
    std::tie(out.h.padding, out.w.padding) = pair_arg(op, "padding", padding);
  }
  return out;
}

Windows pool_2d(const char* op, Object kernel_size, Object stride, Object padding, Object dilation) {
  const auto kernel = pair_arg(op, "kernel_size", kernel_size);
  Windows out = windows_2d(op, stride.is_none() ? kernel : pair_arg(op, "stride", stride), dilation);
  out.h.kernel = kernel.first, out.w.kernel = kernel.second;
  std::tie(out.h.padding, out.w.padding) = pair_arg(op, "padding", padding);
  return out;
}

Index output_1d(const char* op, Object size) {
  if (size.is_none()) return kKeepSize;
  const Index n = index_arg(op, "output_size", size);
  check_size(op, "output_size", n, 1);
  return n;
}

std::pair<Index, Index> output_2d(const char* op, Object size) {
  if (!py::isinstance<py::tuple>(size) && !py::isinstance<py::list>(size)) {
    const Index both = output_1d(op, size);
    return {both, both};
  }
  const auto items = py::reinterpret_borrow<py::sequence>(size);
  if (items.size() != 2) value_error(op, ": output_size has ", items.size(), " entries but must be one or two");
  return {output_1d(op, py::object(items[0])), output_1d(op, py::object(items[1]))};
}

void bind_functions(py::module_& m) {
  const auto none = py::none();
  m.def(
      "conv1d",
      [](Object x, Object weight, Object bias, Object stride, Object padding, Object dilation, Object groups) {
        const Call call("conv1d", {x, weight, bias});
        const Tensor in = call.tensor(x, "x"), w = call.tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        const Window window = conv_1d("conv1d", stride, padding, dilation);
        const Index g = index_arg("conv1d", "groups", groups);
        return call.result(without_gil([&] { return conv1d(in, w, b, window, g); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = none, py::arg("stride") = 1, py::arg("padding") = 0,
      py::arg("dilation") = 1, py::arg("groups") = 1);
  m.def(
      "conv2d",
      [](Object x, Object weight, Object bias, Object stride, Object padding, Object dilation, Object groups) {
        const Call call("conv2d", {x, weight, bias});
        const Tensor in = call.tensor(x, "x"), w = call.tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        const Windows windows = conv_2d("conv2d", stride, padding, dilation);
        const Index g = index_arg("conv2d", "groups", groups);
        return call.result(without_gil([&] { return conv2d(in, w, b, windows.h, windows.w, g); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = none, py::arg("stride") = 1, py::arg("padding") = 0,
      py::arg("dilation") = 1, py::arg("groups") = 1);
  m.def(
      "max_pool1d",
      [](Object x, Object kernel_size, Object stride, Object padding, Object dilation, bool ceil_mode) {
        const Call call("max_pool1d", {x});
        const Tensor in = call.tensor(x, "x");
        const Window window = pool_1d("max_pool1d", kernel_size, stride, padding, dilation);
        return call.result(without_gil([&] { return max_pool1d(in, window, ceil_mode); }));
      },
      py::arg("x"), py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0, py::arg("dilation") = 1,
      py::arg("ceil_mode") = false);
  m.def(
      "max_pool2d",
      [](Object x, Object kernel_size, Object stride, Object padding, Object dilation, bool ceil_mode) {
        const Call call("max_pool2d", {x});
        const Tensor in = call.tensor(x, "x");
        const Windows windows = pool_2d("max_pool2d", kernel_size, stride, padding, dilation);
        return call.result(without_gil([&] { return max_pool2d(in, windows.h, windows.w, ceil_mode); }));
      },
      py::arg("x"), py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0, py::arg("dilation") = 1,
      py::arg("ceil_mode") = false);
  m.def(
      "avg_pool1d",
      [](Object x, Object kernel_size, Object stride, Object padding, bool ceil_mode, bool count_include_pad) {
        const Call call("avg_pool1d", {x});
        const Tensor in = call.tensor(x, "x");
        const Window window = pool_1d("avg_pool1d", kernel_size, stride, padding, py::int_(1));
        return call.result(without_gil([&] { return avg_pool1d(in, window, ceil_mode, count_include_pad); }));
      },
      py::arg("x"), py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0,
      py::arg("ceil_mode") = false, py::arg("count_include_pad") = true);
  m.def(
      "avg_pool2d",
      [](Object x, Object kernel_size, Object stride, Object padding, bool ceil_mode, bool count_include_pad) {
        const Call call("avg_pool2d", {x});
        const Tensor in = call.tensor(x, "x");
        const Windows windows = pool_2d("avg_pool2d", kernel_size, stride, padding, py::int_(1));
        return call.result(
            without_gil([&] { return avg_pool2d(in, windows.h, windows.w, ceil_mode, count_include_pad); }));
      },
      py::arg("x"), py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0,
      py::arg("ceil_mode") = false, py::arg("count_include_pad") = true);
}

using Adaptive1d = Tensor (*)(const Tensor& x, Index length);
using Adaptive2d = Tensor (*)(const Tensor& x, Index height, Index width);

void bind_adaptive(py::module_& m, const char* name, Adaptive1d function) {
  m.def(
      name,
      [name, function](Object x, Object output_size) {
        const Call call(name, {x});
        const Tensor in = call.tensor(x, "x");
        const Index n = output_1d(name, output_size);
        return call.result(without_gil([&] { return function(in, n); }));
      },
      py::arg("x"), py::arg("output_size"));
}

void bind_adaptive(py::module_& m, const char* name, Adaptive2d function) {
  m.def(
      name,
      [name, function](Object x, Object output_size) {
        const Call call(name, {x});
        const Tensor in = call.tensor(x, "x");
        const std::pair<Index, Index> n = output_2d(name, output_size);
        return call.result(without_gil([&] { return function(in, n.first, n.second); }));
      },
      py::arg("x"), py::arg("output_size"));
}

template <typename Layer>
using Class = py::classh<Layer, Module, PyLayer<Layer>>;

void bind_convolutions(py::module_& m) {
  const auto none = py::none();
  Class<nn::Conv1d>(m, "Conv1d", "Convolution of sequences (B, C, L).", collectable())
      .def(layer_init<nn::Conv1d>(+[](Object in, Object out, Object kernel_size, Object stride, Object padding,
                                      Object dilation, Object groups, bool bias, Object dtype, Object seed) {
             const char* op = "Conv1d";
             Window window = conv_1d(op, stride, padding, dilation);
             window.kernel = index_arg(op, "kernel_size", kernel_size);
             return Made{std::tuple(index_arg(op, "in_channels", in), index_arg(op, "out_channels", out), window,
                                    index_arg(op, "groups", groups), bias, dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("in_channels"), py::arg("out_channels"), py::arg("kernel_size"), py::arg("stride") = 1,
           py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1, py::kw_only(),
           py::arg("bias") = true, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", call_tensor<nn::Conv1d>("Conv1d"), py::arg("x"));
  Class<nn::Conv2d>(m, "Conv2d", "Convolution of images (B, C, H, W).", collectable())
      .def(layer_init<nn::Conv2d>(+[](Object in, Object out, Object kernel_size, Object stride, Object padding,
                                      Object dilation, Object groups, bool bias, Object dtype, Object seed) {
             const char* op = "Conv2d";
             Windows windows = conv_2d(op, stride, padding, dilation);
             std::tie(windows.h.kernel, windows.w.kernel) = pair_arg(op, "kernel_size", kernel_size);
             return Made{std::tuple(index_arg(op, "in_channels", in), index_arg(op, "out_channels", out), windows.h,
                                    windows.w, index_arg(op, "groups", groups), bias, dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("in_channels"), py::arg("out_channels"), py::arg("kernel_size"), py::arg("stride") = 1,
           py::arg("padding") = 0, py::arg("dilation") = 1, py::arg("groups") = 1, py::kw_only(),
           py::arg("bias") = true, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", call_tensor<nn::Conv2d>("Conv2d"), py::arg("x"));
}

void bind_pools(py::module_& m) {
  const auto none = py::none();
  Class<nn::MaxPool1d>(m, "MaxPool1d", "Maximum over windows of sequences (B, C, L).", collectable())
      .def(layer_init<nn::MaxPool1d>(
               +[](Object kernel_size, Object stride, Object padding, Object dilation, bool ceil_mode) {
                 return Made{std::tuple(pool_1d("MaxPool1d", kernel_size, stride, padding, dilation), ceil_mode),
                             std::nullopt};
               }),
           py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0, py::arg("dilation") = 1,
           py::kw_only(), py::arg("ceil_mode") = false)
      .def("forward", call_tensor<nn::MaxPool1d>("MaxPool1d"), py::arg("x"));
  Class<nn::MaxPool2d>(m, "MaxPool2d", "Maximum over windows of images (B, C, H, W).", collectable())
      .def(layer_init<nn::MaxPool2d>(
               +[](Object kernel_size, Object stride, Object padding, Object dilation, bool ceil_mode) {
                 const Windows windows = pool_2d("MaxPool2d", kernel_size, stride, padding, dilation);
                 return Made{std::tuple(windows.h, windows.w, ceil_mode), std::nullopt};
               }),
           py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0, py::arg("dilation") = 1,
           py::kw_only(), py::arg("ceil_mode") = false)
      .def("forward", call_tensor<nn::MaxPool2d>("MaxPool2d"), py::arg("x"));
  Class<nn::AvgPool1d>(m, "AvgPool1d", "Average over windows of sequences (B, C, L).", collectable())
      .def(layer_init<nn::AvgPool1d>(
               +[](Object kernel_size, Object stride, Object padding, bool ceil_mode, bool count_include_pad) {
                 return Made{std::tuple(pool_1d("AvgPool1d", kernel_size, stride, padding, py::int_(1)), ceil_mode,
                                        count_include_pad),
                             std::nullopt};
               }),
           py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0, py::kw_only(),
           py::arg("ceil_mode") = false, py::arg("count_include_pad") = true)
      .def("forward", call_tensor<nn::AvgPool1d>("AvgPool1d"), py::arg("x"));
  Class<nn::AvgPool2d>(m, "AvgPool2d", "Average over windows of images (B, C, H, W).", collectable())
      .def(layer_init<nn::AvgPool2d>(
               +[](Object kernel_size, Object stride, Object padding, bool ceil_mode, bool count_include_pad) {
                 const Windows windows = pool_2d("AvgPool2d", kernel_size, stride, padding, py::int_(1));
                 return Made{std::tuple(windows.h, windows.w, ceil_mode, count_include_pad), std::nullopt};
               }),
           py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0, py::kw_only(),
           py::arg("ceil_mode") = false, py::arg("count_include_pad") = true)
      .def("forward", call_tensor<nn::AvgPool2d>("AvgPool2d"), py::arg("x"));
}

template <typename Layer>
void bind_adaptive_layer(py::module_& m, const char* about) {
  Class<Layer> layer(m, Layer::kName, about, collectable());
  if constexpr (std::is_constructible_v<Layer, Index>) {
    layer.def(
        layer_init<Layer>(+[](Object size) { return Made{std::tuple(output_1d(Layer::kName, size)), std::nullopt}; }),
        py::arg("output_size"));
  } else {
    layer.def(layer_init<Layer>(+[](Object size) {
                const auto n = output_2d(Layer::kName, size);
                return Made{std::tuple(n.first, n.second), std::nullopt};
              }),
              py::arg("output_size"));
  }
  layer.def("forward", call_tensor<Layer>(Layer::kName), py::arg("x"));
}

}  // namespace

void bind_convolution(py::module_& m) {
  bind_functions(m);
  bind_adaptive(m, "adaptive_avg_pool1d", Adaptive1d(adaptive_avg_pool1d));
  bind_adaptive(m, "adaptive_avg_pool2d", Adaptive2d(adaptive_avg_pool2d));
  bind_adaptive(m, "adaptive_max_pool1d", Adaptive1d(adaptive_max_pool1d));
  bind_adaptive(m, "adaptive_max_pool2d", Adaptive2d(adaptive_max_pool2d));
  bind_convolutions(m);
  bind_pools(m);
  bind_adaptive_layer<nn::AdaptiveAvgPool1d>(m, "Averages of so many parts of sequences (B, C, L).");
  bind_adaptive_layer<nn::AdaptiveAvgPool2d>(m, "Averages of so many parts of images (B, C, H, W).");
  bind_adaptive_layer<nn::AdaptiveMaxPool1d>(m, "Maxima of so many parts of sequences (B, C, L).");
  bind_adaptive_layer<nn::AdaptiveMaxPool2d>(m, "Maxima of so many parts of images (B, C, H, W).");
}

}  // namespace attendo::bindings
