#include "bindings/convert.h"
#include "train/optimizers.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using namespace train;

Schedule schedule_arg(const char* op, Object lr) {
  if (py::isinstance<Schedule>(lr)) return py::cast<Schedule>(lr);
  const double rate = number_arg(op, "lr", lr);
  if (!(rate >= 0)) value_error(op, ": lr is ", rate, " but must be 0 or more");
  return Schedule::constant(rate);
}

std::pair<double, double> betas_arg(const char* op, Object betas) {
  if (!py::isinstance<py::sequence>(betas) || py::len(betas) != 2) type_error(op, ": betas must be two numbers");
  return {number_arg(op, "betas", betas[py::int_(0)]), number_arg(op, "betas", betas[py::int_(1)])};
}

void bind_schedules(py::module_& m) {
  py::class_<Schedule>(m, "Schedule", "A learning rate for each step.")
      .def(
          "__call__",
          [](const Schedule& s, Object step) {
            const Index t = index_arg("schedule", "step", step);
            if (t < 1) value_error("schedule: step is ", t, " but must be 1 or more");
            return s(t);
          },
          py::arg("step"))
      .def("__repr__", &Schedule::repr);
  m.def(
      "schedule_constant", [](Object lr) { return Schedule::constant(number_arg("constant", "lr", lr)); },
      py::arg("lr"));
  m.def(
      "schedule_step",
      [](Object lr, Object step_size, Object gamma) {
        return Schedule::step(number_arg("step", "lr", lr), index_arg("step", "step_size", step_size),
                              number_arg("step", "gamma", gamma));
      },
      py::arg("lr"), py::arg("step_size"), py::arg("gamma"));
  m.def(
      "schedule_cosine",
      [](Object lr, Object total_steps, Object warmup, Object final) {
        return Schedule::cosine(number_arg("cosine", "lr", lr), index_arg("cosine", "total_steps", total_steps),
                                index_arg("cosine", "warmup", warmup), number_arg("cosine", "final", final));
      },
      py::arg("lr"), py::arg("total_steps"), py::arg("warmup"), py::arg("final"));
  m.def(
      "schedule_noam",
      [](Object d_model, Object warmup, Object factor) {
        return Schedule::noam(index_arg("noam", "d_model", d_model), index_arg("noam", "warmup", warmup),
                              number_arg("noam", "factor", factor));
      },
      py::arg("d_model"), py::arg("warmup"), py::arg("factor"));
}

void bind_optimizers(py::module_& m) {
  py::classh<Optimizer>(m, "Optimizer", "Steps the parameters it is attached to.")
      .def(
          "attach",
          [](Optimizer& self, Object target) {
            std::vector<Tensor> parameters;
            if (py::isinstance<nn::Module>(target)) {
              for (const auto& [name, p] : py::cast<nn::Module&>(target).named_parameters()) parameters.push_back(p);
            } else {
              if (!py::isinstance<py::iterable>(target))
                type_error("attach: target must be a Module or a list of parameters");
              for (const py::handle p : target) {
                if (!is_tensor(p)) type_error("attach: target must hold Tensors that require a gradient");
                parameters.push_back(py::cast<Tensor>(p));
              }
            }
            self.attach(parameters);
          },
          py::arg("target"), "Take over the parameters of a Module, or a list of them.")
      .def(
          "step",
          [](Optimizer& self, Object clip_norm) {
            const double clip = clip_norm.is_none() ? 0.0 : number_arg("step", "clip_norm", clip_norm);
            if (!clip_norm.is_none() && !(clip > 0)) value_error("step: clip_norm is ", clip, " but must be above 0");
            without_gil([&] {
              self.step(clip);
              return 0;
            });
          },
          py::arg("clip_norm") = py::none(), "One update.")
      .def("zero_grad", &Optimizer::zero_grad, "Set all gradients to zero.")
      .def("grad_norm", &Optimizer::grad_norm, "The norm of all gradients together.")
      .def_property_readonly("lr", &Optimizer::lr, "The learning rate of the step to come.")
      .def_property_readonly("steps", &Optimizer::steps, "Steps made.")
      .def_property_readonly(
          "state",
          [](const Optimizer& self) {
            py::dict d;
            for (const auto& [name, value] : self.state()) d[py::str(name)] = to_numpy(value.clone(), true);
            return d;
          },
          "Copies of the state buffers by name.")
      .def("__repr__", &Optimizer::repr);
  py::classh<Sgd, Optimizer>(m, "SGD", "Gradient descent with momentum.")
      .def(py::init([](Object lr, Object momentum, bool nesterov, Object weight_decay) {
             return std::make_shared<Sgd>(schedule_arg("SGD", lr), number_arg("SGD", "momentum", momentum), nesterov,
                                          number_arg("SGD", "weight_decay", weight_decay));
           }),
           py::arg("lr"), py::kw_only(), py::arg("momentum") = 0.0, py::arg("nesterov") = false,
           py::arg("weight_decay") = 0.0);
  struct AdamPlain : Adam {
    using Adam::Adam;
  };
  struct AdamDecoupled : Adam {
    using Adam::Adam;
  };
  py::classh<AdamPlain, Optimizer>(m, "Adam", "Adam.")
      .def(py::init([](Object lr, Object betas, Object eps, Object weight_decay) {
             const auto [b1, b2] = betas_arg("Adam", betas);
             return std::make_shared<AdamPlain>(schedule_arg("Adam", lr), b1, b2, number_arg("Adam", "eps", eps),
                                                number_arg("Adam", "weight_decay", weight_decay), false);
           }),
           py::arg("lr") = 1e-3, py::kw_only(), py::arg("betas") = py::make_tuple(0.9, 0.999), py::arg("eps") = 1e-8,
           py::arg("weight_decay") = 0.0);
  py::classh<AdamDecoupled, Optimizer>(m, "AdamW", "Adam with decoupled weight decay.")
      .def(py::init([](Object lr, Object betas, Object eps, Object weight_decay) {
             const auto [b1, b2] = betas_arg("AdamW", betas);
             return std::make_shared<AdamDecoupled>(schedule_arg("AdamW", lr), b1, b2, number_arg("AdamW", "eps", eps),
                                                    number_arg("AdamW", "weight_decay", weight_decay), true);
           }),
           py::arg("lr") = 1e-3, py::kw_only(), py::arg("betas") = py::make_tuple(0.9, 0.999), py::arg("eps") = 1e-8,
           py::arg("weight_decay") = 0.01);
}

}  // namespace

void bind_optim(py::module_& m) {
  bind_schedules(m);
  bind_optimizers(m);
}

}  // namespace attendo::bindings
