#include "bindings/convert.h"
#include "nn/layers.h"
#include "ops/activations.h"
#include "ops/softmax.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

// Two Python classes on one C++ class, so that isinstance tells them apart.
template <int kSpatial>
struct BatchNormOf : nn::BatchNorm {
  BatchNormOf(Index num_features, double eps, double momentum, DType dtype)
      : nn::BatchNorm(num_features, kSpatial, eps, momentum, dtype) {}
};
using BatchNorm1d = BatchNormOf<1>;
using BatchNorm2d = BatchNormOf<2>;

template <typename Norm>
void bind_batch_norm(py::module_& m, const char* name) {
  py::classh<Norm, Module, PyLayer<Norm>>(m, name, "Batch norm: each channel over the batch and all positions.",
                                          collectable())
      .def(layer_init<Norm>(+[](Object n, Object eps, Object momentum, Object dtype) {
             const char* op = "BatchNorm";
             return Made{std::tuple(index_arg(op, "num_features", n), number_arg(op, "eps", eps),
                                    number_arg(op, "momentum", momentum), dtype_arg(op, dtype)),
                         std::nullopt};
           }),
           py::arg("num_features"), py::kw_only(), py::arg("eps") = 1e-5, py::arg("momentum") = 0.1,
           py::arg("dtype") = "float32")
      .def("forward", call_tensor<Norm>("BatchNorm"), py::arg("x"));
}

// 3 or (3, 5)
Shape lengths_arg(const char* op, const char* arg, Object lengths) {
  Shape out;
  if (!py::isinstance<py::tuple>(lengths) && !py::isinstance<py::list>(lengths)) {
    out.push_back(index_arg(op, arg, lengths));
    return out;
  }
  if (py::len(lengths) > kMaxRank) {
    value_error(op, ": ", arg, " holds ", py::len(lengths), " lengths but must hold ", kMaxRank, " at most");
  }
  for (const py::handle length : lengths) out.push_back(index_arg(op, arg, length));
  return out;
}

// Modules given one by one, or as one list.
std::vector<std::shared_ptr<Module>> modules_arg(const char* name, const py::args& args) {
  std::vector<std::shared_ptr<Module>> out;
  const bool one_list = args.size() == 1 && (py::isinstance<py::list>(args[0]) || py::isinstance<py::tuple>(args[0]));
  const py::iterable items = one_list ? py::iterable(py::object(args[0])) : py::iterable(py::object(args));
  for (const py::handle item : items) out.push_back(module_arg(name, "modules", item));
  return out;
}

}  // namespace

void bind_layers(py::module_& m) {
  const auto none = py::none();
  py::classh<nn::Linear, Module, PyLayer<nn::Linear>>(m, "Linear", "y = x Wᵀ + b.", collectable())
      .def(layer_init<nn::Linear>(+[](Object i, Object o, bool bias, Object dtype, Object seed) {
             return Made{std::tuple(index_arg("Linear", "in_features", i), index_arg("Linear", "out_features", o), bias,
                                    dtype_arg("Linear", dtype)),
                         seed_arg("Linear", seed)};
           }),
           py::arg("in_features"), py::arg("out_features"), py::arg("bias") = true, py::kw_only(),
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def(
          "forward",
          [](nn::Linear& self, Object x) {
            const Tensor in = to_tensor(x, "Linear", "x", Want::kFloat, Memory::kCopy);
            return without_gil([&] { return self(in); });
          },
          py::arg("x"));
  py::classh<nn::Embedding, Module, PyLayer<nn::Embedding>>(m, "Embedding", "A row of a table for each id.",
                                                            collectable())
      .def(layer_init<nn::Embedding>(
               +[](Object n, Object d, Object padding_idx, bool sparse, Object dtype, Object seed) {
                 Index padding = kNoPadding;
                 if (!padding_idx.is_none()) {
                   padding = index_arg("Embedding", "padding_idx", padding_idx);
                   if (padding < 0) value_error("Embedding: padding_idx is ", padding, " but must be 0 or more");
                 }
                 return Made{
                     std::tuple(index_arg("Embedding", "num_embeddings", n), index_arg("Embedding", "embedding_dim", d),
                                padding, dtype_arg("Embedding", dtype), 1.0, sparse),
                     seed_arg("Embedding", seed)};
               }),
           py::arg("num_embeddings"), py::arg("embedding_dim"), py::kw_only(), py::arg("padding_idx") = none,
           py::arg("sparse") = false, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", call_tensor<nn::Embedding>("Embedding"), py::arg("ids"));
  py::classh<nn::LayerNorm, Module, PyLayer<nn::LayerNorm>>(m, "LayerNorm", "Layer norm over the last axis.",
                                                            collectable())
      .def(layer_init<nn::LayerNorm>(+[](Object shape, Object eps, bool elementwise_affine, bool bias, Object dtype) {
             return Made{
                 std::tuple(lengths_arg("LayerNorm", "normalized_shape", shape), number_arg("LayerNorm", "eps", eps),
                            elementwise_affine, bias, dtype_arg("LayerNorm", dtype)),
                 std::nullopt};
           }),
           py::arg("normalized_shape"), py::kw_only(), py::arg("eps") = 1e-5, py::arg("elementwise_affine") = true,
           py::arg("bias") = true, py::arg("dtype") = "float32")
      .def("forward", call_tensor<nn::LayerNorm>("LayerNorm"), py::arg("x"));
  bind_batch_norm<BatchNorm1d>(m, "BatchNorm1d");
  bind_batch_norm<BatchNorm2d>(m, "BatchNorm2d");
  py::classh<nn::Dropout, Module, PyLayer<nn::Dropout>>(m, "Dropout", "Inverted dropout, in training mode only.",
                                                        collectable())
      .def(layer_init<nn::Dropout>(
               +[](Object p) { return Made{std::tuple(number_arg("Dropout", "p", p)), std::nullopt}; }),
           py::arg("p") = 0.1)
      .def_property_readonly("p", &nn::Dropout::p)
      .def("forward", call_tensor<nn::Dropout>("Dropout"), py::arg("x"));
  py::classh<nn::Flatten, Module, PyLayer<nn::Flatten>>(m, "Flatten", "(B, ...) to (B, features).", collectable())
      .def(py::init<>())
      .def("forward", call_tensor<nn::Flatten>("Flatten"), py::arg("x"));

  py::classh<nn::ActivationLayer, Module> activation(m, "Activation", "An element-by-element function as a layer.",
                                                     collectable());
  activation.def("forward", call_tensor<nn::ActivationLayer>("Activation"), py::arg("x"));
  m.def(
      "_activation",
      [](const std::string& name) -> std::shared_ptr<nn::ActivationLayer> {
        const std::pair<const char*, nn::ActivationLayer::Function> known[] = {
            {"ReLU", relu}, {"GELU", [](const Tensor& x) { return gelu(x); }},
            {"Tanh", tanh}, {"Sigmoid", sigmoid},
            {"SiLU", silu}, {"Softmax", [](const Tensor& x) { return softmax(x); }},
        };
        for (const auto& [key, function] : known) {
          if (name == key) return std::make_shared<nn::ActivationLayer>(name, function);
        }
        value_error("Activation: ", name, " is not known");
      },
      py::arg("name"));

  auto at = [](Module& self, Object index) {
    const Index n = static_cast<Index>(self.children().size());
    Index i = index_arg("index", "index", index);
    if (i < -n || i >= n) throw py::index_error(concat("index ", i, " is out of range for ", n, " modules"));
    return self.children()[static_cast<size_t>(i < 0 ? i + n : i)].second;
  };
  auto length = [](Module& self) { return self.children().size(); };
  py::classh<nn::Sequential, Module, PyLayer<nn::Sequential>>(m, "Sequential", "Modules, one after the other.",
                                                              collectable())
      .def(layer_init<nn::Sequential>(
          +[](const py::args& args) { return Made{std::tuple(modules_arg("Sequential", args)), std::nullopt}; }))
      .def("forward",
           [](nn::Sequential& self, const py::args& args) -> py::object {
             py::tuple x(args.size());
             for (size_t i = 0; i < args.size(); ++i) x[i] = input_of(args[i], "Sequential");
             const auto children = self.children();  // a copy: a module may add to them while it runs
             for (const auto& [name, child] : children) {
               const py::object y = py::cast(child).attr("__call__")(*x);
               x = py::isinstance<py::tuple>(y) ? py::reinterpret_borrow<py::tuple>(y) : py::make_tuple(y);
             }
             return x.size() == 1 ? py::object(x[0]) : py::object(x);
           })
      .def("__getitem__", at, py::arg("index"))
      .def("__len__", length);
  py::classh<nn::ModuleList, Module, PyLayer<nn::ModuleList>>(m, "ModuleList", "Modules by index.", collectable())
      .def(layer_init<nn::ModuleList>(
          +[](const py::args& args) { return Made{std::tuple(modules_arg("ModuleList", args)), std::nullopt}; }))
      .def("__getitem__", at, py::arg("index"))
      .def(
          "append",
          [](Module& self, Object module) {
            self.register_module(std::to_string(self.children().size()), module_arg("append", "module", module));
          },
          py::arg("module"), "Add one at the end.")
      .def("__len__", length);
}

}  // namespace attendo::bindings
