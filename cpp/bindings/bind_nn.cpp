#include "bindings/convert.h"
#include "nn/decoder_layer.h"
#include "nn/positional_encoding.h"
#include "ops/activations.h"
#include "ops/softmax.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

// A Module written in Python.
class PyModule : public Module, public py::trampoline_self_life_support {
 public:
  Tensors forward(const Tensors& inputs) override {
    const py::gil_scoped_acquire gil;
    const py::function override = py::get_override(static_cast<const Module*>(this), "forward");
    if (!override) type_error(type_name(), ": define forward(self, ...) to call it");
    py::tuple args(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) args[i] = py::cast(inputs[i]);
    return tensors_of(override(*args), type_name());
  }
  std::string type_name() const override {
    const py::gil_scoped_acquire gil;
    const py::object self = py::cast(static_cast<const Module*>(this));
    return py::cast<std::string>(py::type::of(self).attr("__name__"));
  }
};

// Arrays among the arguments become Tensors (copies: the tape may keep them).
py::object input_of(py::handle x, const char* op) {
  if (py::isinstance<py::array>(x)) return py::cast(to_tensor(x, op, "an input", Want::kAny, Memory::kCopy));
  return py::reinterpret_borrow<py::object>(x);
}

py::object call_module(const py::object& self, const py::args& args, const py::kwargs& kwargs) {
  py::tuple inputs(args.size());
  for (size_t i = 0; i < args.size(); ++i) inputs[i] = input_of(args[i], "Module");
  return self.attr("forward")(*inputs, **kwargs);
}

// Null before super().__init__() has run.
Module* module_or_null(const py::object& self) { return is_constructed(self) ? self.cast<Module*>() : nullptr; }

Module& self_module(const py::object& self) {
  if (Module* module = module_or_null(self)) return *module;
  PyErr_SetString(PyExc_AttributeError,
                  "call super().__init__() before assigning parameters or modules, or using the module");
  throw py::error_already_set();
}

bool is_registered(const Module& m, const std::string& name) {
  auto has = [&](const auto& list) {
    return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == name; });
  };
  return has(m.own_parameters()) || has(m.own_buffers()) || has(m.children());
}

void set_attribute(const py::object& self, const std::string& name, const py::object& value) {
  Module* m = module_or_null(self);  // a plain attribute may come before super().__init__()
  if (m != nullptr && name == "forward" && dynamic_cast<const PyModule*>(m) == nullptr) {
    PyErr_SetString(PyExc_AttributeError,
                    "forward: write a subclass with a forward of its own; C++ would not see this one");
    throw py::error_already_set();
  }
  const bool is_module = py::isinstance<Module>(value);
  const bool is_parameter =
      is_tensor(value) && py::cast<Tensor>(value).requires_grad() && py::cast<Tensor>(value).is_leaf();
  if (is_module) {
    self_module(self).register_module(name, module_arg("Module", name.c_str(), value));
  } else if (is_parameter) {
    self_module(self).register_parameter(name, py::cast<Tensor>(value));
  } else if (m != nullptr && is_registered(*m, name)) {
    m->unregister(name);
  }
  if (PyObject_GenericSetAttr(self.ptr(), py::str(name).ptr(), value.ptr()) < 0) {
    // A read-only attribute of the class, such as training: the registration is taken back.
    py::error_already_set error;
    if (is_module || is_parameter) m->unregister(name);
    throw error;
  }
}

// What C++ registered: children and parameters of models that were built there.
py::object get_attribute(const py::object& self, const std::string& name) {
  if (const Module* module = module_or_null(self); module != nullptr && name.rfind("__", 0) != 0) {
    const Module& m = *module;
    for (const auto& [key, value] : m.own_parameters()) {
      if (key == name) return py::cast(value);
    }
    for (const auto& [key, value] : m.own_buffers()) {
      if (key == name) return py::cast(value);
    }
    for (const auto& [key, child] : m.children()) {
      if (key == name) return py::cast(child);
    }
  }
  const auto type = py::cast<std::string>(py::type::of(self).attr("__name__"));
  const char* hint = module_or_null(self) == nullptr ? "; super().__init__() was not called yet" : "";
  PyErr_SetString(PyExc_AttributeError, concat("'", type, "' object has no attribute '", name, "'", hint).c_str());
  throw py::error_already_set();
}

py::dict state_dict(const Module& m) {
  py::dict out;
  for (const auto& [name, value] : m.named_parameters()) out[py::str(name)] = to_numpy(value.clone(), true);
  for (const auto& [name, value] : m.named_buffers()) out[py::str(name)] = to_numpy(value.clone(), true);
  return out;
}

py::tuple load_state_dict(const Module& m, const py::dict& state, bool strict) {
  std::vector<Module::NamedTensor> own = m.named_parameters();
  for (const auto& buffer : m.named_buffers()) own.push_back(buffer);
  std::vector<std::string> missing, unexpected;
  for (const auto& [name, value] : own) {
    if (!state.contains(name)) missing.push_back(name);
  }
  for (const auto& item : state) {
    const auto name = py::cast<std::string>(py::str(item.first));
    if (std::none_of(own.begin(), own.end(), [&](const auto& entry) { return entry.first == name; }))
      unexpected.push_back(name);
  }
  auto join = [](const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
  };
  if (strict && !(missing.empty() && unexpected.empty())) {
    value_error(
        "load_state_dict: ", missing.empty() ? "" : "missing: " + join(missing) + (unexpected.empty() ? "" : "; "),
        unexpected.empty() ? "" : "unexpected: " + join(unexpected));
  }
  // All are checked before any is written.
  std::vector<std::pair<Tensor, Tensor>> writes;
  for (const auto& [name, value] : own) {
    if (!state.contains(name)) continue;
    Tensor x = to_tensor(state[py::str(name)], "load_state_dict", name.c_str(), Want::kFloat, Memory::kBorrow);
    check_float("load_state_dict", name.c_str(), x);
    check_shape("load_state_dict", name.c_str(), x, value.shape());
    // A Tensor may be a parameter of this module that is itself about to be written.
    writes.emplace_back(value, x.dtype() == value.dtype() ? x.clone() : x.to(value.dtype()));
  }
  for (const auto& [target, source] : writes) std::copy_n(source.raw(), source.bytes(), target.raw());
  return py::make_tuple(missing, unexpected);
}

template <typename List>
py::list pairs(const List& list) {
  py::list out;
  for (const auto& [name, value] : list) out.append(py::make_tuple(name, py::cast(value)));
  return out;
}

py::list values(const std::vector<Module::NamedTensor>& list) {
  py::list out;
  for (const auto& [name, value] : list) out.append(py::cast(value));
  return out;
}

void bind_module(py::module_& m) {
  py::classh<Module, PyModule> cls(m, "Module", "Parameters and children with names; subclass it and write forward.",
                                   py::dynamic_attr(), collectable());
  cls.def(py::init<>());
  cls.def(
      "forward",
      [](const py::object& self, const py::args&, const py::kwargs&) -> py::object {
        type_error(py::cast<std::string>(py::type::of(self).attr("__name__")),
                   ": define forward(self, ...) to call it");
      },
      "What the module computes.");
  cls.def("__call__", &call_module);
  cls.def("__setattr__", &set_attribute);
  cls.def("__delattr__", [](const py::object& self, const std::string& name) {
    Module& module = self_module(self);
    const bool registered = is_registered(module, name);
    module.unregister(name);
    if (PyObject_GenericSetAttr(self.ptr(), py::str(name).ptr(), nullptr) < 0) {
      if (!registered) throw py::error_already_set();
      PyErr_Clear();
    }
  });
  cls.def("__getattr__", &get_attribute);
  cls.def("__repr__", [](const py::object& self) {
    const Module& x = self_module(self);
    return x.repr();
  });
  cls.def_property_readonly(
      "training", [](const py::object& self) { return self_module(self).training(); },
      "True between train() and eval().");
  cls.def(
      "train",
      [](const py::object& self, bool mode) {
        self_module(self).train(mode);
        return self;
      },
      py::arg("mode") = true, "Training mode: dropout drops, batch norm uses the batch.");
  cls.def(
      "eval",
      [](const py::object& self) {
        self_module(self).train(false);
        return self;
      },
      "Evaluation mode.");
  cls.def(
      "parameters",
      [](const py::object& self) {
        const Module& x = self_module(self);
        return values(x.named_parameters());
      },
      "Every parameter, once.");
  cls.def(
      "named_parameters",
      [](const py::object& self) {
        const Module& x = self_module(self);
        return pairs(x.named_parameters());
      },
      "Every parameter with its dotted name.");
  cls.def(
      "named_buffers",
      [](const py::object& self) {
        const Module& x = self_module(self);
        return pairs(x.named_buffers());
      },
      "What is saved but not trained.");
  cls.def(
      "children",
      [](const py::object& self) {
        const Module& x = self_module(self);
        py::list out;
        for (const auto& [name, child] : x.children()) out.append(py::cast(child));
        return out;
      },
      "The modules right below.");
  cls.def(
      "named_children",
      [](const py::object& self) {
        const Module& x = self_module(self);
        return pairs(x.children());
      },
      "The modules right below, with names.");
  cls.def(
      "named_modules",
      [](const py::object& self) {
        py::list out;
        const std::function<void(const std::string&, const py::object&)> walk = [&](const std::string& name,
                                                                                    const py::object& module) {
          for (const py::handle seen : out) {
            if (py::object(py::reinterpret_borrow<py::tuple>(seen)[1]).is(module)) return;
          }
          out.append(py::make_tuple(name, module));
          for (const auto& [child, inner] : module.cast<Module*>()->children()) {
            walk(name.empty() ? child : name + "." + child, py::cast(inner));
          }
        };
        walk("", self);
        return out;
      },
      "This module and all below it, with dotted names.");
  cls.def(
      "modules",
      [](const py::object& self) {
        py::list out;
        for (const py::handle pair : self.attr("named_modules")())
          out.append(py::reinterpret_borrow<py::tuple>(pair)[1]);
        return out;
      },
      "This module and all below it.");
  cls.def(
      "register_buffer",
      [](const py::object& self, const std::string& name, Object value) {
        self_module(self).register_buffer(name,
                                          to_tensor(value, "register_buffer", "value", Want::kFloat, Memory::kCopy));
      },
      py::arg("name"), py::arg("value"), "Saved with the module but not trained.");
  cls.def(
      "state_dict", [](const py::object& self) { return state_dict(self_module(self)); },
      "Copies of all parameters and buffers by name.");
  cls.def(
      "load_state_dict",
      [](const py::object& self, const py::dict& state, bool strict) {
        return load_state_dict(self_module(self), state, strict);
      },
      py::arg("state"), py::arg("strict") = true,
      "Write values by name; gives the names that were missing and those that were not expected.");
  cls.def("zero_grad", [](const py::object& self) { self_module(self).zero_grad(); }, "Forget all gradients.");
  cls.def(
      "requires_grad_",
      [](const py::object& self, bool on) {
        self_module(self).set_requires_grad(on);
        return self;
      },
      py::arg("requires_grad") = true, "Train or freeze all parameters.");
  cls.def(
      "num_parameters",
      [](const py::object& self) {
        const Module& x = self_module(self);
        Index n = 0;
        for (const auto& [name, value] : x.named_parameters()) n += value.size();
        return n;
      },
      "Numbers in all parameters.");
  cls.def(
      "reset_parameters",
      [](const py::object& self, Object seed) {
        self_module(self).reset_parameters(seed_arg("reset_parameters", seed).value_or(entropy()));
      },
      py::arg("seed") = py::none(), "Draw all parameters anew.");
}

nn::Conv2d::Options window(const char* op, Object kernel_size, Object stride, Object padding) {
  const auto kernel = pair_arg(op, "kernel_size", kernel_size);
  const auto step = stride.is_none() ? kernel : pair_arg(op, "stride", stride);
  const auto pad = pair_arg(op, "padding", padding);
  return {kernel.first, kernel.second, step.first, step.second, pad.first, pad.second};
}

template <typename T>
auto call_tensor(const char* name) {
  return [name](T& self, Object x) {
    const Tensor in = to_tensor(x, name, "x", Want::kAny, Memory::kCopy);
    return without_gil([&] { return self(in); });
  };
}

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

// Modules given one by one, or as one list.
std::vector<std::shared_ptr<Module>> modules_arg(const char* name, const py::args& args) {
  std::vector<std::shared_ptr<Module>> out;
  const bool one_list = args.size() == 1 && (py::isinstance<py::list>(args[0]) || py::isinstance<py::tuple>(args[0]));
  const py::iterable items = one_list ? py::iterable(py::object(args[0])) : py::iterable(py::object(args));
  for (const py::handle item : items) out.push_back(module_arg(name, "modules", item));
  return out;
}

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
      .def(layer_init<nn::LayerNorm>(+[](Object n, Object eps, Object dtype) {
             return Made{std::tuple(index_arg("LayerNorm", "normalized_shape", n), number_arg("LayerNorm", "eps", eps),
                                    dtype_arg("LayerNorm", dtype)),
                         std::nullopt};
           }),
           py::arg("normalized_shape"), py::kw_only(), py::arg("eps") = 1e-5, py::arg("dtype") = "float32")
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
  py::classh<nn::Conv2d, Module, PyLayer<nn::Conv2d>>(m, "Conv2d", "Convolution of images (B, C, H, W).", collectable())
      .def(layer_init<nn::Conv2d>(+[](Object i, Object o, Object kernel_size, Object stride, Object padding, bool bias,
                                      Object dtype, Object seed) {
             return Made{std::tuple(index_arg("Conv2d", "in_channels", i), index_arg("Conv2d", "out_channels", o),
                                    window("Conv2d", kernel_size, stride, padding), bias, dtype_arg("Conv2d", dtype)),
                         seed_arg("Conv2d", seed)};
           }),
           py::arg("in_channels"), py::arg("out_channels"), py::arg("kernel_size"), py::arg("stride") = 1,
           py::arg("padding") = 0, py::kw_only(), py::arg("bias") = true, py::arg("dtype") = "float32",
           py::arg("seed") = none)
      .def("forward", call_tensor<nn::Conv2d>("Conv2d"), py::arg("x"));
  py::classh<nn::MaxPool2d, Module, PyLayer<nn::MaxPool2d>>(
      m, "MaxPool2d", "Maximum over windows of images (B, C, H, W).", collectable())
      .def(layer_init<nn::MaxPool2d>(+[](Object kernel_size, Object stride, Object padding) {
             return Made{std::tuple(window("MaxPool2d", kernel_size, stride, padding)), std::nullopt};
           }),
           py::arg("kernel_size"), py::arg("stride") = none, py::arg("padding") = 0)
      .def("forward", call_tensor<nn::MaxPool2d>("MaxPool2d"), py::arg("x"));
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
            {"ReLU", relu},       {"GELU", [](const Tensor& x) { return gelu(x); }},       {"Tanh", tanh},
            {"Sigmoid", sigmoid}, {"Softmax", [](const Tensor& x) { return softmax(x); }},
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

AttentionOptions attention_options(const char* op, Object mask, Object bias, Object q_offset, const Tensor& query,
                                   const Tensor& key, Index heads) {
  AttentionOptions options;
  if (!bias.is_none()) options.bias = to_tensor(bias, op, "bias", Want::kFloat, Memory::kCopy);
  check_rank(op, "query", query, 3, "(batch, length, d_model)");
  check_rank(op, "key", key, 3, "(batch, length, d_model)");
  mask_arg(options, op, mask, q_offset, query.dim(0), heads, query.dim(1), key.dim(1));
  return options;
}

nn::LayerOptions layer_options(const char* op, Object d_model, Object num_heads, Object dff, Object dropout,
                               const std::string& activation, bool norm_first, Object dtype) {
  return {index_arg(op, "d_model", d_model),
          index_arg(op, "num_heads", num_heads),
          index_arg(op, "dff", dff),
          number_arg(op, "dropout", dropout),
          activation,
          norm_first,
          dtype_arg(op, dtype)};
}

py::list list_of(const Tensors& tensors) {
  py::list out;
  for (const Tensor& x : tensors) out.append(py::cast(x));
  return out;
}

void bind_transformer_layers(py::module_& m) {
  const auto none = py::none();
  using nn::MultiHeadAttention;
  py::classh<MultiHeadAttention, Module, PyLayer<MultiHeadAttention>>(
      m, "MultiHeadAttention", "Attention in several heads, with input and output projections.", collectable())
      .def(layer_init<MultiHeadAttention>(+[](Object d, Object h, Object kv_heads, Object head_dim, Object value_dim,
                                              Object kdim, Object vdim, Object dropout, bool bias, Object scale,
                                              Object dtype, Object seed) {
             const char* op = "MultiHeadAttention";
             // None is the usual (0 below); a 0 that was given is refused like any other.
             auto width = [op](const char* name, Object value) {
               if (value.is_none()) return Index{0};
               const Index n = index_arg(op, name, value);
               if (n < 1) value_error(op, ": ", name, " is ", n, " but must be 1 or more");
               return n;
             };
             nn::MultiHeadOptions o;
             o.d_model = index_arg(op, "d_model", d), o.num_heads = index_arg(op, "num_heads", h);
             o.num_kv_heads = width("num_kv_heads", kv_heads);
             o.head_dim = width("head_dim", head_dim), o.value_dim = width("value_dim", value_dim);
             o.kdim = width("kdim", kdim), o.vdim = width("vdim", vdim);
             o.dropout = number_arg(op, "dropout", dropout), o.bias = bias;
             if (!scale.is_none()) o.scale = number_arg(op, "scale", scale);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::kw_only(), py::arg("num_kv_heads") = none,
           py::arg("head_dim") = none, py::arg("value_dim") = none, py::arg("kdim") = none, py::arg("vdim") = none,
           py::arg("dropout") = 0.0, py::arg("bias") = true, py::arg("scale") = none, py::arg("dtype") = "float32",
           py::arg("seed") = none)
      .def_property_readonly("num_kv_heads", [](const MultiHeadAttention& self) { return self.options().num_kv_heads; })
      .def_property_readonly("head_dim", [](const MultiHeadAttention& self) { return self.options().head_dim; })
      .def_property_readonly("value_dim", [](const MultiHeadAttention& self) { return self.options().value_dim; })
      .def_property_readonly("num_heads", &MultiHeadAttention::num_heads)
      .def_property_readonly("d_model", &MultiHeadAttention::d_model)
      .def(
          "forward",
          [](MultiHeadAttention& self, Object query, Object key, Object value, Object mask, Object bias,
             Object q_offset, bool return_weights) -> py::object {
            const char* op = "MultiHeadAttention";
            const Tensor q = to_tensor(query, op, "query", Want::kFloat, Memory::kCopy);
            const Tensor k = key.is(query) ? q : to_tensor(key, op, "key", Want::kFloat, Memory::kCopy);
            const Tensor v = value.is(query) ? q
                             : value.is(key) ? k
                                             : to_tensor(value, op, "value", Want::kFloat, Memory::kCopy);
            const AttentionOptions options = attention_options(op, mask, bias, q_offset, q, k, self.num_heads());
            const AttentionResult r = without_gil([&] { return self(q, k, v, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("query"), py::arg("key"), py::arg("value"), py::kw_only(), py::arg("mask") = none,
          py::arg("bias") = none, py::arg("q_offset") = none, py::arg("return_weights") = false);

  py::classh<nn::PositionalEncoding, Module> position(m, "PositionalEncoding",
                                                      "Adds a row of a table to each position.", collectable());
  position.def(
      "forward",
      [](nn::PositionalEncoding& self, Object x, Object offset) {
        const Tensor in = to_tensor(x, "PositionalEncoding", "x", Want::kFloat, Memory::kCopy);
        const Index start = index_arg("PositionalEncoding", "offset", offset);
        return without_gil([&] { return self(in, start); });
      },
      py::arg("x"), py::arg("offset") = 0);
  position.def_property_readonly(
      "table",
      [](const nn::PositionalEncoding& self) {
        return to_numpy(self.table(self.max_len()).rows(0, self.max_len()), false);
      },
      "(max_len, d_model), read-only.");
  py::classh<nn::SinusoidalPositionalEncoding, nn::PositionalEncoding, PyLayer<nn::SinusoidalPositionalEncoding>>(
      m, "SinusoidalPositionalEncoding", "Sines and cosines of many wavelengths.", collectable())
      .def(layer_init<nn::SinusoidalPositionalEncoding>(+[](Object d, Object n, Object dtype) {
             const char* op = "SinusoidalPositionalEncoding";
             return Made{std::tuple(index_arg(op, "d_model", d), index_arg(op, "max_len", n), dtype_arg(op, dtype)),
                         std::nullopt};
           }),
           py::arg("d_model"), py::arg("max_len"), py::kw_only(), py::arg("dtype") = "float32");
  py::classh<nn::LearnedPositionalEncoding, nn::PositionalEncoding, PyLayer<nn::LearnedPositionalEncoding>>(
      m, "LearnedPositionalEncoding", "A trained vector a position.", collectable())
      .def(layer_init<nn::LearnedPositionalEncoding>(+[](Object d, Object n, Object dtype, Object seed) {
             const char* op = "LearnedPositionalEncoding";
             return Made{std::tuple(index_arg(op, "d_model", d), index_arg(op, "max_len", n), dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("max_len"), py::kw_only(), py::arg("dtype") = "float32", py::arg("seed") = none);

  py::classh<nn::FeedForward, Module, PyLayer<nn::FeedForward>>(m, "FeedForward",
                                                                "Linear, activation, dropout, linear.", collectable())
      .def(layer_init<nn::FeedForward>(+[](Object d, Object dff, Object dropout, const std::string& activation,
                                           Object dtype, Object seed) {
             return Made{
                 std::tuple(index_arg("FeedForward", "d_model", d), index_arg("FeedForward", "dff", dff),
                            number_arg("FeedForward", "dropout", dropout), activation, dtype_arg("FeedForward", dtype)),
                 seed_arg("FeedForward", seed)};
           }),
           py::arg("d_model"), py::arg("dff"), py::kw_only(), py::arg("dropout") = 0.0, py::arg("activation") = "relu",
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", call_tensor<nn::FeedForward>("FeedForward"), py::arg("x"));

  py::classh<nn::EncoderLayer, Module, PyLayer<nn::EncoderLayer>>(
      m, "EncoderLayer", "Self-attention and a feed-forward network, each with residual and norm.", collectable())
      .def(layer_init<nn::EncoderLayer>(+[](Object d, Object h, Object dff, Object dropout,
                                            const std::string& activation, bool norm_first, Object dtype, Object seed) {
             return Made{std::tuple(layer_options("EncoderLayer", d, h, dff, dropout, activation, norm_first, dtype)),
                         seed_arg("EncoderLayer", seed)};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::arg("dff"), py::kw_only(), py::arg("dropout") = 0.0,
           py::arg("activation") = "relu", py::arg("norm_first") = false, py::arg("dtype") = "float32",
           py::arg("seed") = none)
      .def(
          "forward",
          [](nn::EncoderLayer& self, Object x, Object mask, bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "EncoderLayer", "x", Want::kFloat, Memory::kCopy);
            const AttentionOptions options = attention_options("EncoderLayer", mask, py::none(), py::none(), in, in, 1);
            const AttentionResult r = without_gil([&] { return self(in, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("x"), py::arg("mask") = none, py::kw_only(), py::arg("return_weights") = true);
  py::classh<nn::Encoder, Module, PyLayer<nn::Encoder>>(m, "Encoder", "A stack of encoder layers.", collectable())
      .def(layer_init<nn::Encoder>(+[](Object n, Object d, Object h, Object dff, Object dropout,
                                       const std::string& activation, bool norm_first, Object dtype, Object seed) {
             return Made{std::tuple(index_arg("Encoder", "num_layers", n),
                                    layer_options("Encoder", d, h, dff, dropout, activation, norm_first, dtype)),
                         seed_arg("Encoder", seed)};
           }),
           py::arg("num_layers"), py::arg("d_model"), py::arg("num_heads"), py::arg("dff"), py::kw_only(),
           py::arg("dropout") = 0.0, py::arg("activation") = "relu", py::arg("norm_first") = false,
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def(
          "forward",
          [](nn::Encoder& self, Object x, Object mask, bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "Encoder", "x", Want::kFloat, Memory::kCopy);
            const AttentionOptions options = attention_options("Encoder", mask, py::none(), py::none(), in, in, 1);
            const nn::StackResult r = without_gil([&] { return self(in, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, list_of(r.weights));
          },
          py::arg("x"), py::arg("mask") = none, py::kw_only(), py::arg("return_weights") = true);

  // In a decoder self-attention is causal unless a mask says otherwise.
  auto decoder_options = [](const char* op, Object mask, Object memory_mask, const Tensor& x, const Tensor& memory) {
    std::pair<AttentionOptions, AttentionOptions> out;
    out.first = attention_options(op, mask, py::none(), py::none(), x, x, 1);
    if (mask.is_none()) out.first.causal = true;
    out.second = attention_options(op, memory_mask, py::none(), py::none(), x, memory, 1);
    return out;
  };
  py::classh<nn::DecoderLayer, Module, PyLayer<nn::DecoderLayer>>(
      m, "DecoderLayer", "Causal self-attention, attention to the memory, a feed-forward network.", collectable())
      .def(layer_init<nn::DecoderLayer>(+[](Object d, Object h, Object dff, Object dropout,
                                            const std::string& activation, bool norm_first, Object dtype, Object seed) {
             return Made{std::tuple(layer_options("DecoderLayer", d, h, dff, dropout, activation, norm_first, dtype)),
                         seed_arg("DecoderLayer", seed)};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::arg("dff"), py::kw_only(), py::arg("dropout") = 0.0,
           py::arg("activation") = "relu", py::arg("norm_first") = false, py::arg("dtype") = "float32",
           py::arg("seed") = none)
      .def(
          "forward",
          [=](nn::DecoderLayer& self, Object x, Object memory, Object mask, Object memory_mask,
              bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "DecoderLayer", "x", Want::kFloat, Memory::kCopy);
            const Tensor mem = to_tensor(memory, "DecoderLayer", "memory", Want::kFloat, Memory::kCopy);
            const auto options = decoder_options("DecoderLayer", mask, memory_mask, in, mem);
            const nn::DecoderLayer::Result r =
                without_gil([&] { return self(in, mem, options.first, options.second, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, py::make_tuple(r.weights, r.cross_weights));
          },
          py::arg("x"), py::arg("memory"), py::arg("mask") = none, py::arg("memory_mask") = none, py::kw_only(),
          py::arg("return_weights") = true);
  py::classh<nn::Decoder, Module, PyLayer<nn::Decoder>>(m, "Decoder", "A stack of decoder layers.", collectable())
      .def(layer_init<nn::Decoder>(+[](Object n, Object d, Object h, Object dff, Object dropout,
                                       const std::string& activation, bool norm_first, Object dtype, Object seed) {
             return Made{std::tuple(index_arg("Decoder", "num_layers", n),
                                    layer_options("Decoder", d, h, dff, dropout, activation, norm_first, dtype)),
                         seed_arg("Decoder", seed)};
           }),
           py::arg("num_layers"), py::arg("d_model"), py::arg("num_heads"), py::arg("dff"), py::kw_only(),
           py::arg("dropout") = 0.0, py::arg("activation") = "relu", py::arg("norm_first") = false,
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def(
          "forward",
          [=](nn::Decoder& self, Object x, Object memory, Object mask, Object memory_mask,
              bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "Decoder", "x", Want::kFloat, Memory::kCopy);
            const Tensor mem = to_tensor(memory, "Decoder", "memory", Want::kFloat, Memory::kCopy);
            const auto options = decoder_options("Decoder", mask, memory_mask, in, mem);
            const nn::StackResult r =
                without_gil([&] { return self(in, mem, options.first, options.second, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, py::make_tuple(list_of(r.weights), list_of(r.cross_weights)));
          },
          py::arg("x"), py::arg("memory"), py::arg("mask") = none, py::arg("memory_mask") = none, py::kw_only(),
          py::arg("return_weights") = true);
}

}  // namespace

void bind_nn(py::module_& m) {
  bind_module(m);
  bind_layers(m);
  bind_transformer_layers(m);
}

}  // namespace attendo::bindings
