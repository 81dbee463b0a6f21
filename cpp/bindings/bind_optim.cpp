#include <algorithm>

#include "bindings/schedules.h"
#include "train/adagrad.h"
#include "train/adam.h"
#include "train/lamb.h"
#include "train/lion.h"
#include "train/rmsprop.h"
#include "train/sgd.h"
#include "train/weight_average.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using namespace train;

// An option from a Python value. False: there is none of this name.
bool set_option(const char* op, Options& options, const std::string& key, py::handle value) {
  if (key == "betas") {
    if (!py::isinstance<py::sequence>(value) || py::len(value) != 2) type_error(op, ": betas must be two numbers");
    options.beta1 = number_arg(op, "betas", py::object(value[py::int_(0)]));
    options.beta2 = number_arg(op, "betas", py::object(value[py::int_(1)]));
  } else if (const auto number = number_option(key)) {
    options.*number = number_arg(op, key.c_str(), value);
  } else if (const auto flag = flag_option(key)) {
    if (!py::isinstance<py::bool_>(value))
      type_error(op, ": ", key, " is a ", type_of(value), " but must be True or False");
    options.*flag = py::cast<bool>(value);
  } else {
    return false;
  }
  return true;
}

py::object option_of(const Options& options, const std::string& key) {
  if (key == "betas") {
    py::list betas;
    betas.append(options.beta1), betas.append(options.beta2);
    return betas;
  }
  if (const auto number = number_option(key)) return py::float_(options.*number);
  return py::bool_(options.*flag_option(key));
}

using Given = std::vector<std::pair<std::string, py::object>>;

ParameterGroup group_arg(const std::string& op, const Given& known, const Options& options, py::handle source) {
  if (!py::isinstance<py::dict>(source)) type_error(op, " is a ", type_of(source), " but must be a dict");
  ParameterGroup group;
  group.options = options;
  bool has_params = false;
  for (const auto& [name, value] : py::reinterpret_borrow<py::dict>(source)) {
    const std::string key = text_arg(op.c_str(), "a key", name);
    if (key == "params") {
      has_params = true;
      const auto add = [&](py::handle item) {
        if (is_tensor(item)) {
          group.tensors.push_back(py::cast<Tensor>(item));
        } else if (py::isinstance<py::str>(item)) {
          group.patterns.push_back(py::cast<std::string>(item));
        } else {
          type_error(op, ": params holds a ", type_of(item), " but must hold patterns of names, or Tensors");
        }
      };
      if (py::isinstance<py::list>(value) || py::isinstance<py::tuple>(value)) {
        for (const py::handle item : value) add(item);
      } else {
        add(value);
      }
    } else if (key == "lr") {
      group.schedule = schedule_arg(op.c_str(), value);
    } else if (key == "lr_scale") {
      group.lr_scale = number_arg(op.c_str(), "lr_scale", value);
    } else {
      const bool takes = std::any_of(known.begin(), known.end(), [&](const auto& k) { return k.first == key; });
      if (!takes || !set_option(op.c_str(), group.options, key, value)) {
        std::string names = "params, lr, lr_scale";
        for (const auto& k : known) names += ", " + k.first;
        value_error(op, " has the key '", key, "' but may have ", names);
      }
      group.given.push_back(key);
    }
  }
  if (!has_params || (group.patterns.empty() && group.tensors.empty()))
    value_error(op, " has no params: patterns of names, or Tensors");
  return group;
}

template <typename T>
std::shared_ptr<T> make(const char* op, Object lr, const Given& given, Object groups) {
  Options options;
  for (const auto& [key, value] : given) set_option(op, options, key, value);
  std::vector<ParameterGroup> parsed;
  if (!groups.is_none()) {
    if (!py::isinstance<py::list>(groups) && !py::isinstance<py::tuple>(groups))
      type_error(op, ": groups is a ", type_of(groups), " but must be a list of dicts");
    for (const py::handle group : groups) {
      parsed.push_back(group_arg(concat(op, ": groups[", parsed.size(), "]"), given, options, group));
    }
  }
  return std::make_shared<T>(schedule_arg(op, lr), options, std::move(parsed));
}

py::dict optimizer_config(const Optimizer& optimizer) {
  py::dict out;
  out["type"] = optimizer.name();
  out["lr"] = config_of(optimizer.schedule());
  for (const std::string& key : optimizer.option_names()) out[py::str(key)] = option_of(optimizer.options(), key);
  py::list groups;
  for (const ParameterGroup& group : optimizer.groups()) {
    if (!group.tensors.empty())
      value_error(optimizer.name(), ": groups[", groups.size(),
                  "] has Tensors as params, which a config cannot hold: give patterns of their names");
    py::dict entry;
    entry["params"] = group.patterns;
    if (group.schedule) entry["lr"] = config_of(*group.schedule);
    if (group.lr_scale != 1) entry["lr_scale"] = group.lr_scale;
    for (const std::string& key : group.given) entry[py::str(key)] = option_of(group.options, key);
    groups.append(entry);
  }
  if (!groups.empty()) out["groups"] = groups;
  return out;
}

py::dict state_dict(const NamedTensors& state) {
  py::dict out;
  for (const auto& [name, value] : state) out[py::str(name)] = to_numpy(value.clone(), true);
  return out;
}

NamedTensors state_arg(Object state) {
  if (!py::isinstance<py::dict>(state))
    type_error("load_state: state is a ", type_of(state), " but must be a dict of arrays");
  NamedTensors out;
  for (const auto& [name, value] : py::reinterpret_borrow<py::dict>(state)) {
    const std::string key = text_arg("load_state", "a name", name);
    out.emplace_back(key,
                     to_tensor(value, "load_state", concat("state['", key, "']").c_str(), Want::kAny, Memory::kCopy));
  }
  return out;
}

NamedTensors parameters_arg(Object target) {
  if (py::isinstance<nn::Module>(target)) return module_arg("attach", "target", target)->named_parameters();
  if (!py::isinstance<py::iterable>(target)) type_error("attach: target must be a Module or a list of parameters");
  NamedTensors parameters;
  for (const py::handle item : target) {
    if (is_tensor(item)) {
      parameters.emplace_back("", py::cast<Tensor>(item));
      continue;
    }
    const bool pair = py::isinstance<py::tuple>(item) && py::len(item) == 2;
    if (!pair || !py::isinstance<py::str>(item[py::int_(0)]) || !is_tensor(py::object(item[py::int_(1)])))
      type_error("attach: target must hold Tensors that require a gradient, or pairs of a name and such a Tensor");
    parameters.emplace_back(py::cast<std::string>(item[py::int_(0)]), py::cast<Tensor>(item[py::int_(1)]));
  }
  return parameters;
}

// None, or a number above 0.
double bound_arg(const char* arg, Object value) {
  if (value.is_none()) return 0;
  const double bound = number_arg("step", arg, value);
  if (!(bound > 0)) value_error("step: ", arg, " is ", bound, " but must be above 0");
  return bound;
}

void bind_base(py::module_& m) {
  py::classh<Optimizer>(m, "Optimizer", "Steps the parameters it is attached to.")
      .def(
          "attach", [](Optimizer& self, Object target) { self.attach(parameters_arg(target)); }, py::arg("target"),
          "Take over the parameters of a Module, or a list of them.")
      .def(
          "step",
          [](Optimizer& self, Object clip_norm, Object clip_value) {
            const double norm = bound_arg("clip_norm", clip_norm), value = bound_arg("clip_value", clip_value);
            without_gil([&] {
              self.step(norm, value);
              return 0;
            });
          },
          py::arg("clip_norm") = py::none(), py::arg("clip_value") = py::none(), "One update.")
      .def("zero_grad", &Optimizer::zero_grad, "Set all gradients to zero.")
      .def("grad_norm", &Optimizer::grad_norm, "The norm of all gradients together.")
      .def(
          "observe", [](Optimizer& self, Object value) { self.observe(number_arg("observe", "value", value)); },
          py::arg("value"), "What a plateau schedule waits for.")
      .def_property_readonly(
          "lr", [](const Optimizer& self) { return self.lr(); }, "The learning rate to come.")
      .def_property_readonly(
          "lrs",
          [](const Optimizer& self) {
            py::list out;
            for (size_t g = 0; g <= self.groups().size(); ++g) out.append(self.lr(g));
            return out;
          },
          "The learning rate to come of each group, and of the rest.")
      .def_property(
          "schedule", [](const Optimizer& self) { return Schedule(self.schedule()); },
          [](Optimizer& self, Object schedule) { self.set_schedule(schedule_arg("schedule", schedule)); },
          "The learning rate of each step.")
      .def_property_readonly("steps", &Optimizer::steps, "Steps made.")
      .def_property_readonly(
          "state", [](const Optimizer& self) { return state_dict(self.state()); }, "Copies of the state by name.")
      .def(
          "load_state", [](Optimizer& self, Object state) { self.load_state(state_arg(state)); }, py::arg("state"),
          "Go on from a state.")
      .def_property_readonly(
          "config", [](const Optimizer& self) { return optimizer_config(self); }, "What makes it again.")
      .def("__repr__", &Optimizer::repr);
}

void bind_optimizers(py::module_& m) {
  const auto none = py::none();
  py::classh<Sgd, Optimizer>(m, "SGD", "Gradient descent with momentum.")
      .def(py::init(
               [](Object lr, Object momentum, Object dampening, Object weight_decay, Object nesterov, Object groups) {
                 return make<Sgd>("SGD", lr,
                                  {{"momentum", momentum},
                                   {"dampening", dampening},
                                   {"weight_decay", weight_decay},
                                   {"nesterov", nesterov}},
                                  groups);
               }),
           py::arg("lr"), py::kw_only(), py::arg("momentum") = 0.0, py::arg("dampening") = 0.0,
           py::arg("weight_decay") = 0.0, py::arg("nesterov") = false, py::arg("groups") = none);
  const auto adam = [&](auto made, const char* name, double weight_decay, const char* about) {
    using T = typename decltype(made)::type;
    py::classh<T, Optimizer>(m, name, about)
        .def(py::init([name](Object lr, Object betas, Object eps, Object decay, Object amsgrad, Object groups) {
               return make<T>(name, lr, {{"betas", betas}, {"eps", eps}, {"weight_decay", decay}, {"amsgrad", amsgrad}},
                              groups);
             }),
             py::arg("lr") = 1e-3, py::kw_only(), py::arg("betas") = py::make_tuple(0.9, 0.999), py::arg("eps") = 1e-8,
             py::arg("weight_decay") = weight_decay, py::arg("amsgrad") = false, py::arg("groups") = none);
  };
  adam(std::type_identity<Adam>(), "Adam", 0.0, "Adam.");
  adam(std::type_identity<AdamW>(), "AdamW", 0.01, "Adam with decoupled weight decay.");
  py::classh<Adagrad, Optimizer>(m, "Adagrad", "Adagrad.")
      .def(py::init([](Object lr, Object lr_decay, Object weight_decay, Object initial_accumulator_value, Object eps,
                       Object groups) {
             return make<Adagrad>("Adagrad", lr,
                                  {{"lr_decay", lr_decay},
                                   {"weight_decay", weight_decay},
                                   {"initial_accumulator_value", initial_accumulator_value},
                                   {"eps", eps}},
                                  groups);
           }),
           py::arg("lr") = 1e-2, py::kw_only(), py::arg("lr_decay") = 0.0, py::arg("weight_decay") = 0.0,
           py::arg("initial_accumulator_value") = 0.0, py::arg("eps") = 1e-10, py::arg("groups") = none);
  py::classh<RmsProp, Optimizer>(m, "RMSprop", "RMSprop.")
      .def(py::init([](Object lr, Object alpha, Object eps, Object weight_decay, Object momentum, Object centered,
                       Object groups) {
             return make<RmsProp>("RMSprop", lr,
                                  {{"alpha", alpha},
                                   {"eps", eps},
                                   {"weight_decay", weight_decay},
                                   {"momentum", momentum},
                                   {"centered", centered}},
                                  groups);
           }),
           py::arg("lr") = 1e-2, py::kw_only(), py::arg("alpha") = 0.99, py::arg("eps") = 1e-8,
           py::arg("weight_decay") = 0.0, py::arg("momentum") = 0.0, py::arg("centered") = false,
           py::arg("groups") = none);
  py::classh<Lion, Optimizer>(m, "Lion", "Steps by signs.")
      .def(py::init([](Object lr, Object betas, Object weight_decay, Object groups) {
             return make<Lion>("Lion", lr, {{"betas", betas}, {"weight_decay", weight_decay}}, groups);
           }),
           py::arg("lr") = 1e-4, py::kw_only(), py::arg("betas") = py::make_tuple(0.9, 0.99),
           py::arg("weight_decay") = 0.0, py::arg("groups") = none);
  py::classh<Lamb, Optimizer>(m, "LAMB", "Adam's direction, as long as each parameter asks for.")
      .def(py::init([](Object lr, Object betas, Object eps, Object weight_decay, Object groups) {
             return make<Lamb>("LAMB", lr, {{"betas", betas}, {"eps", eps}, {"weight_decay", weight_decay}}, groups);
           }),
           py::arg("lr") = 1e-3, py::kw_only(), py::arg("betas") = py::make_tuple(0.9, 0.999), py::arg("eps") = 1e-6,
           py::arg("weight_decay") = 0.01, py::arg("groups") = none);
}

// Within `with`, the model holds the average.
struct Applied {
  std::shared_ptr<WeightAverage> average;
};

void bind_weight_average(py::module_& m) {
  py::class_<Applied>(m, "_Applied", "The average in the model, within `with`.")
      .def("__enter__",
           [](const Applied& self) {
             if (self.average->swapped()) value_error("applied: the model holds the average already");
             self.average->swap();
             return self.average;
           })
      .def("__exit__", [](const Applied& self, const py::args&) { self.average->swap(); });
  py::classh<WeightAverage>(m, "WeightAverage", "An average of the weights an optimizer steps.")
      .def(py::init([](Object optimizer, Object decay, bool warmup) {
             if (!py::isinstance<Optimizer>(optimizer))
               type_error("WeightAverage: optimizer is a ", type_of(optimizer), " but must be one of attendo.optim");
             if (!is_constructed(optimizer))
               type_error("WeightAverage: optimizer is a ", type_of(optimizer), " that was never initialised");
             std::optional<double> rate;
             if (!decay.is_none()) rate = number_arg("WeightAverage", "decay", decay);
             return std::make_shared<WeightAverage>(py::cast<std::shared_ptr<Optimizer>>(optimizer), rate, warmup);
           }),
           py::arg("optimizer"), py::arg("decay") = 0.999, py::kw_only(), py::arg("warmup") = false)
      .def("update", &WeightAverage::update, py::call_guard<py::gil_scoped_release>(), "Take the weights in.")
      .def("swap", &WeightAverage::swap, py::call_guard<py::gil_scoped_release>(), "Exchange weights and average.")
      .def(
          "applied",
          [](Object self) {
            if (!is_constructed(self)) type_error("applied: the WeightAverage was never initialised");
            return Applied{py::cast<std::shared_ptr<WeightAverage>>(self)};
          },
          "For `with`: the model holds the average.")
      .def_property_readonly("swapped", &WeightAverage::swapped, "Whether the model holds the average.")
      .def_property_readonly("updates", &WeightAverage::updates, "Updates made.")
      .def_property_readonly(
          "state", [](const WeightAverage& self) { return state_dict(self.state()); },
          "Copies of the averages by name.")
      .def(
          "load_state", [](WeightAverage& self, Object state) { self.load_state(state_arg(state)); }, py::arg("state"),
          "Go on from a state.")
      .def("__repr__", [](const WeightAverage& self) {
        return self.decay() ? concat("WeightAverage(decay=", *self.decay(), ", updates=", self.updates(), ")")
                            : concat("WeightAverage(decay=None, updates=", self.updates(), ")");
      });
}

}  // namespace

void bind_optim(py::module_& m) {
  bind_base(m);
  bind_optimizers(m);
  bind_weight_average(m);
}

}  // namespace attendo::bindings
