#include "bindings/convert.h"
#include "core/cost.h"
#include "ops/linear_int8.h"
#include "ops/quantized_linear.h"

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
    CostScope scope(static_cast<const Module*>(this));
    Tensors out = tensors_of(override(*args), type_name());
    if (!out.empty()) scope.gives(out[0]);
    return out;
  }
  std::string type_name() const override {
    const py::gil_scoped_acquire gil;
    const py::object self = py::cast(static_cast<const Module*>(this));
    return py::cast<std::string>(py::type::of(self).attr("__name__"));
  }
};

py::object call_module(const py::object& self, const py::args& args, const py::kwargs& kwargs) {
  py::tuple inputs(args.size());
  for (size_t i = 0; i < args.size(); ++i) inputs[i] = input_of(args[i], "Module");
  CostScope scope(is_constructed(self) ? static_cast<const Module*>(self.cast<Module*>()) : nullptr);
  py::object out = self.attr("forward")(*inputs, **kwargs);
  const bool several = py::isinstance<py::tuple>(out) && py::len(out) > 0;
  const py::object first =
      several ? py::reinterpret_borrow<py::object>(py::reinterpret_borrow<py::tuple>(out)[0]) : out;
  if (is_tensor(first)) scope.gives(py::cast<Tensor>(first));
  return out;
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

constexpr const char* kScales = "_scales";  // behind the name of an int8 parameter
constexpr const char* kInput = "_input";    // of one whose inputs have a range found before

// Undefined where there is none.
Tensor input_of_products(const Tensor& value) {
  return value.impl()->products ? value.impl()->products->input : Tensor();
}

py::dict state_dict(const Module& m) {
  py::dict out;
  for (const auto& [name, value] : m.named_parameters()) {
    out[py::str(name)] = to_numpy(value.clone(), true);
    if (value.scales()) out[py::str(name + kScales)] = to_numpy(value.scales().clone(), true);
    if (const Tensor input = input_of_products(value)) out[py::str(name + kInput)] = to_numpy(input.clone(), true);
  }
  for (const auto& [name, value] : m.named_buffers()) out[py::str(name)] = to_numpy(value.clone(), true);
  return out;
}

// The other names of parameters that stand in several places: (name, the name in state_dict).
std::vector<std::pair<std::string, std::string>> other_names(Module& m) {
  const std::vector<Module::NamedTensor> own = m.named_parameters();
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [path, module] : m.named_modules()) {
    for (const auto& [parameter, value] : module->own_parameters()) {
      const std::string name = path.empty() ? parameter : concat(path, ".", parameter);
      for (const auto& [first, tensor] : own) {
        if (tensor.impl() == value.impl() && first != name) out.emplace_back(name, first);
      }
    }
  }
  return out;
}

bool same_values(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::equal(a.raw(), a.raw() + a.bytes(), b.raw());
}

// PyTorch writes a shared parameter under each of its names. Here one is enough, and several must agree.
py::dict under_first_names(Module& m, const py::dict& state) {
  py::dict out;
  const auto others = other_names(m);
  for (const auto& item : state) {
    const auto name = py::cast<std::string>(py::str(item.first));
    const auto other = std::find_if(others.begin(), others.end(), [&](const auto& o) { return o.first == name; });
    const std::string& first = other == others.end() ? name : other->second;
    if (out.contains(first)) {
      const Tensor x = to_tensor(item.second, "load_state_dict", name.c_str(), Want::kAny, Memory::kBorrow);
      const Tensor y = to_tensor(out[py::str(first)], "load_state_dict", first.c_str(), Want::kAny, Memory::kBorrow);
      if (!same_values(x, y)) {
        value_error("load_state_dict: ", first, " is one parameter under several names, whose values differ");
      }
    }
    out[py::str(first)] = item.second;
  }
  return out;
}

py::tuple load_state_dict(Module& m, const py::dict& items, bool strict) {
  const py::dict state = under_first_names(m, items);
  std::vector<Module::NamedTensor> own;
  for (const auto& [name, value] : m.named_parameters()) {
    own.emplace_back(name, value);
    if (value.scales() && (state.contains(name + kScales) || !state.contains(name))) {
      own.emplace_back(name + kScales, value.scales());
    }
    if (const Tensor input = input_of_products(value)) own.emplace_back(name + kInput, input);
  }
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
  const auto is_input = [&](const Tensor& x) {
    return std::any_of(own.begin(), own.end(), [&](const auto& entry) {
      const Tensor input = input_of_products(entry.second);
      return input && input.impl() == x.impl();
    });
  };
  // All are checked before any is written.
  std::vector<std::pair<Tensor, Tensor>> writes;
  for (const auto& [name, value] : own) {
    if (!state.contains(name)) continue;
    const py::object given = state[py::str(name)];
    const bool rounded = is_int8(given);
    if (rounded && value.dtype() != DType::kInt8) {
      type_error("load_state_dict: ", name, " has dtype int8 but the module is ", dtype_name(value.dtype()),
                 state.contains(name + kInput) ? ": quantize it first" : ": call its to_int8() or quantize it first");
    }
    if (rounded && !state.contains(name + kScales)) {
      value_error("load_state_dict: ", name, " has dtype int8 but there is no ", name + kScales);
    }
    if (rounded) {
      const Tensor x = int8_arg("load_state_dict", name.c_str(), given);
      check_shape("load_state_dict", name.c_str(), x, value.shape());
      writes.emplace_back(value, x);
      continue;
    }
    Tensor x = to_tensor(given, "load_state_dict", name.c_str(), Want::kFloat, Memory::kBorrow);
    check_float("load_state_dict", name.c_str(), x);
    if (value.dtype() == DType::kInt8 && value.impl()->products) {
      type_error("load_state_dict: ", name, " has dtype ", dtype_name(x.dtype()),
                 " but the module is quantized: load floats before quantize");
    }
    if (value.dtype() == DType::kInt8) {
      check_shape("load_state_dict", name.c_str(), x, value.shape());
      if (state.contains(name + kScales)) {
        type_error("load_state_dict: ", name, " has dtype ", dtype_name(x.dtype()), " but ", name + kScales,
                   " is there, so that it must be int8");
      }
      const Tensor matrix = quantize_int8(x.to(value.scales().dtype()));
      writes.emplace_back(value, matrix);
      writes.emplace_back(value.scales(), matrix.scales());
      continue;
    }
    check_shape("load_state_dict", name.c_str(), x, value.shape());
    if (name.ends_with(kInput) && is_input(value)) input_range("load_state_dict", name.c_str(), x.to(value.dtype()));
    // A Tensor may be a parameter of this module that is itself about to be written.
    writes.emplace_back(value, x.dtype() == value.dtype() ? x.clone() : x.to(value.dtype()));
  }
  for (const auto& [target, source] : writes) std::copy_n(source.raw(), source.bytes(), target.raw());
  for (const auto& [name, value] : own) {
    if (value.impl()->products) renew_products(value);
  }
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

}  // namespace

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
  cls.def(
      "to_int8",
      [](const py::object& self) {
        self_module(self).to_int8();
        return self;
      },
      "Hold the matrices of linear layers, attention and embeddings in eight bits.");
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

}  // namespace attendo::bindings
