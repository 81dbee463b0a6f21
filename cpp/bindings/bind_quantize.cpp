// Products of whole numbers.
#include "bindings/convert.h"
#include "nn/quantize.h"
#include "ops/quantized_linear.h"

namespace attendo::bindings {

using Object = const py::object&;

namespace {

std::map<std::string, nn::Int8Form> forms_arg(const std::map<std::string, std::string>& names) {
  std::map<std::string, nn::Int8Form> forms;
  for (const auto& [name, form] : names) {
    forms[name] = form == "dynamic"  ? nn::Int8Form::kDynamic
                  : form == "static" ? nn::Int8Form::kStatic
                                     : nn::Int8Form::kWeights;
  }
  return forms;
}

}  // namespace

void bind_quantize(py::module_& m) {
  m.def(
      "quantize_per_channel",
      [](Object weight) {
        constexpr const char* kOp = "quantize_per_channel";
        const Tensor w = to_tensor(weight, kOp, "weight", Want::kFloat, Memory::kBorrow);
        const Tensor matrix = without_gil([&] { return quantize_per_channel(kOp, w); });
        return py::make_tuple(to_numpy(matrix, true), to_numpy(matrix.scales(), true));
      },
      py::arg("weight"), "int8 numbers and a scale for each row.");

  m.def(
      "activation_range",
      [](Object x, const std::string& method, double percentile) {
        constexpr const char* kOp = "activation_range";
        const Tensor in = to_tensor(x, kOp, "x", Want::kFloat, Memory::kBorrow);
        const RangeMethod how = range_method(kOp, method);
        const Int8Range range = without_gil([&] { return activation_range(in, how, percentile); });
        return py::make_tuple(range.scale, range.zero_point);
      },
      py::arg("x"), py::arg("method"), py::arg("percentile"), "Scale and zero point for the numbers of x.");

  m.def(
      "quantized_linear",
      [](Object x, Object weight, Object scales, Object bias, Object range) {
        constexpr const char* kOp = "quantized_linear";
        const Call call(kOp, {x, scales, bias});
        const Tensor in = call.tensor(x, "x"), b = call.optional_tensor(bias, "bias");
        const Tensor a = to_tensor(scales, kOp, "scales", Want::kFloat, Memory::kCopy);
        Tensor input;
        if (!range.is_none()) {
          input = to_tensor(range, kOp, "input_range", Want::kFloat, Memory::kCopy);
          check_shape(kOp, "input_range", input, {2});
          if (is_float(a.dtype())) input = input.to(a.dtype());
        }
        const Tensor matrix = quantized_matrix(kOp, int8_arg(kOp, "weight", weight), a, input);
        return call.result(without_gil([&] { return quantized_linear(in, matrix, b); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("scales"), py::arg("bias") = py::none(),
      py::arg("input_range") = py::none(), "x, rounded, times the transpose of an int8 matrix, plus bias.");

  m.def(
      "_quantize_dynamic",
      [](Object model) {
        const auto root = module_arg("quantize", "model", model);
        without_gil([&] { nn::quantize_dynamic(*root); });
      },
      py::arg("model"), "Linear layers multiply whole numbers; each row of an input has its own range.");

  m.def(
      "_hold_int8",
      [](Object model, const std::map<std::string, std::string>& forms) {
        nn::hold_int8(*module_arg("load", "model", model), forms_arg(forms));
      },
      py::arg("model"), py::arg("forms"), "Give matrices their form of int8, before a state is loaded.");

  m.def(
      "_int8_forms",
      [](Object model) {
        std::map<std::string, std::string> forms;
        for (const auto& [name, value] : module_arg("save", "model", model)->named_parameters()) {
          const nn::Int8Form form = nn::int8_form(value);
          if (form == nn::Int8Form::kFloat) continue;
          forms[name] = form == nn::Int8Form::kDynamic  ? "dynamic"
                        : form == nn::Int8Form::kStatic ? "static"
                                                        : "weights";
        }
        return forms;
      },
      py::arg("model"), "What _hold_int8 takes to give another model the forms of this one.");

  using nn::Calibration;
  py::class_<Calibration>(m, "_Calibration", "Sees the inputs of a model's linear layers.")
      .def(py::init([](Object model) { return std::make_unique<Calibration>(module_arg("quantize", "model", model)); }),
           py::arg("model"))
      .def("count", &Calibration::count, "From now on count what lies where in the ranges found.")
      .def(
          "finish",
          [](Calibration& self, const std::string& method, double percentile) {
            const RangeMethod how = range_method("quantize", method);
            without_gil([&] { self.finish(how, percentile); });
          },
          py::arg("method"), py::arg("percentile"), "Quantize the model.")
      .def("stop", &Calibration::stop, "See nothing more.");
}

}  // namespace attendo::bindings
