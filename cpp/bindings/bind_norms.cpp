#include "bindings/convert.h"
#include "nn/glu.h"
#include "nn/norms.h"
#include "ops/group_norm.h"
#include "ops/rms_norm.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

GateActivation gate_arg(const char* op, Object activation) {
  if (activation.is_none()) return GateActivation::kNone;
  if (!PyUnicode_Check(activation.ptr())) {
    type_error(op, ": activation is a ", Py_TYPE(activation.ptr())->tp_name,
               " but must be 'sigmoid', 'silu', 'gelu', 'gelu_tanh', 'relu' or None");
  }
  return nn::gate_activation_of(op, py::cast<std::string>(activation));
}

}  // namespace

void bind_norms(py::module_& m) {
  m.def(
      "rms_norm",
      [](Object x, Object weight, Object eps) {
        const Call call("rms_norm", {x, weight});
        const Tensor in = call.tensor(x, "x"), w = call.optional_tensor(weight, "weight");
        const double e = number_arg("rms_norm", "eps", eps);
        return call.result(without_gil([&] { return rms_norm(in, w, e); }));
      },
      py::arg("x"), py::arg("weight") = py::none(), py::arg("eps") = 1e-6);
  m.def(
      "group_norm",
      [](Object x, Object num_groups, Object weight, Object bias, Object eps) {
        const Call call("group_norm", {x, weight, bias});
        const Tensor in = call.tensor(x, "x"), w = call.optional_tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        const Index groups = index_arg("group_norm", "num_groups", num_groups);
        const double e = number_arg("group_norm", "eps", eps);
        return call.result(without_gil([&] { return group_norm(in, groups, w, b, e); }));
      },
      py::arg("x"), py::arg("num_groups"), py::arg("weight") = py::none(), py::arg("bias") = py::none(),
      py::arg("eps") = 1e-5);
  m.def(
      "glu",
      [](Object x, Object activation) {
        const Call call("glu", {x});
        const Tensor in = call.tensor(x, "x");
        const GateActivation f = gate_arg("glu", activation);
        return call.result(without_gil([&] { return glu(in, f); }));
      },
      py::arg("x"), py::arg("activation") = "sigmoid");

  py::classh<nn::RMSNorm, Module, PyLayer<nn::RMSNorm>>(m, "RMSNorm", "RMS norm over the last axis.", collectable())
      .def(layer_init<nn::RMSNorm>(+[](Object n, Object eps, Object dtype) {
             return Made{std::tuple(index_arg("RMSNorm", "normalized_shape", n), number_arg("RMSNorm", "eps", eps),
                                    dtype_arg("RMSNorm", dtype)),
                         std::nullopt};
           }),
           py::arg("normalized_shape"), py::kw_only(), py::arg("eps") = 1e-6, py::arg("dtype") = "float32")
      .def("forward", call_tensor<nn::RMSNorm>("RMSNorm"), py::arg("x"));
  py::classh<nn::GroupNorm, Module, PyLayer<nn::GroupNorm>>(m, "GroupNorm", "Group norm of (B, C, ...).", collectable())
      .def(layer_init<nn::GroupNorm>(+[](Object groups, Object channels, Object eps, bool affine, Object dtype) {
             const char* op = "GroupNorm";
             return Made{std::tuple(index_arg(op, "num_groups", groups), index_arg(op, "num_channels", channels),
                                    number_arg(op, "eps", eps), affine, dtype_arg(op, dtype)),
                         std::nullopt};
           }),
           py::arg("num_groups"), py::arg("num_channels"), py::kw_only(), py::arg("eps") = 1e-5,
           py::arg("affine") = true, py::arg("dtype") = "float32")
      .def("forward", call_tensor<nn::GroupNorm>("GroupNorm"), py::arg("x"));
  py::classh<nn::GLU, Module, PyLayer<nn::GLU>>(m, "GLU", "A gated linear unit.", collectable())
      .def(layer_init<nn::GLU>(
               +[](Object activation) { return Made{std::tuple(gate_arg("GLU", activation)), std::nullopt}; }),
           py::arg("activation") = "sigmoid")
      .def("forward", call_tensor<nn::GLU>("GLU"), py::arg("x"));
}

}  // namespace attendo::bindings
