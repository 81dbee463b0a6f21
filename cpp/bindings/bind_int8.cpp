// Matrices in eight bits.
#include "bindings/convert.h"
#include "ops/linear_int8.h"

namespace attendo::bindings {

using Object = const py::object&;

void bind_int8(py::module_& m) {
  m.def(
      "quantize_int8",
      [](Object weight) {
        const Tensor w = to_tensor(weight, "quantize_int8", "weight", Want::kFloat, Memory::kBorrow);
        const Tensor matrix = without_gil([&] { return quantize_int8(w); });
        return py::make_tuple(to_numpy(matrix, true), to_numpy(matrix.scales(), true));
      },
      py::arg("weight"), "int8 numbers and their scales.");

  m.def(
      "linear_int8",
      [](Object x, Object weight, Object scales, Object bias) {
        constexpr const char* kOp = "linear_int8";
        const Call call(kOp, {x, scales, bias});
        const Tensor in = call.tensor(x, "x"), b = call.optional_tensor(bias, "bias");
        const Tensor matrix = int8_matrix(kOp, int8_arg(kOp, "weight", weight),
                                          to_tensor(scales, kOp, "scales", Want::kFloat, Memory::kCopy));
        return call.result(without_gil([&] { return linear_int8(in, matrix, b); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("scales"), py::arg("bias") = py::none(),
      "x times the transpose of an int8 matrix, plus bias.");
}

}  // namespace attendo::bindings
