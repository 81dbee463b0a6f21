#include "bindings/schedules.h"

namespace attendo::bindings {

using Object = const py::object&;
using train::Schedule;

std::string type_of(py::handle object) { return py::cast<std::string>(py::type::of(object).attr("__name__")); }

std::string text_arg(const char* op, const char* arg, py::handle value) {
  if (!py::isinstance<py::str>(value)) type_error(op, ": ", arg, " is a ", type_of(value), " but must be a string");
  return py::cast<std::string>(value);
}

Schedule schedule_arg(const char* op, py::handle lr) {
  if (py::isinstance<Schedule>(lr)) {
    if (!is_constructed(lr)) type_error(op, ": lr is a Schedule that was never initialised");
    return py::cast<Schedule>(lr);
  }
  const double rate = number_arg(op, "lr", lr);
  if (!(rate >= 0)) value_error(op, ": lr is ", rate, " but must be 0 or more");
  return Schedule::constant(rate);
}

py::dict config_of(const Schedule& schedule) {
  py::dict out;
  out["type"] = schedule.name();
  for (const auto& [key, value] : schedule.options()) {
    std::visit([&, name = key](const auto& x) { out[name] = x; }, value);
  }
  return out;
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
      .def_property_readonly(
          "config", [](const Schedule& s) { return config_of(s); }, "What makes it again.")
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
      "schedule_exponential",
      [](Object lr, Object gamma) {
        return Schedule::exponential(number_arg("exponential", "lr", lr), number_arg("exponential", "gamma", gamma));
      },
      py::arg("lr"), py::arg("gamma"));
  m.def(
      "schedule_linear",
      [](Object lr, Object total_steps, Object warmup, Object final) {
        return Schedule::linear(number_arg("linear", "lr", lr), index_arg("linear", "total_steps", total_steps),
                                index_arg("linear", "warmup", warmup), number_arg("linear", "final", final));
      },
      py::arg("lr"), py::arg("total_steps"), py::arg("warmup"), py::arg("final"));
  m.def(
      "schedule_cosine",
      [](Object lr, Object total_steps, Object warmup, Object final) {
        return Schedule::cosine(number_arg("cosine", "lr", lr), index_arg("cosine", "total_steps", total_steps),
                                index_arg("cosine", "warmup", warmup), number_arg("cosine", "final", final));
      },
      py::arg("lr"), py::arg("total_steps"), py::arg("warmup"), py::arg("final"));
  m.def(
      "schedule_cosine_restarts",
      [](Object lr, Object period, Object mult, Object final, Object warmup) {
        const char* op = "cosine_restarts";
        return Schedule::cosine_restarts(number_arg(op, "lr", lr), index_arg(op, "period", period),
                                         index_arg(op, "mult", mult), number_arg(op, "final", final),
                                         index_arg(op, "warmup", warmup));
      },
      py::arg("lr"), py::arg("period"), py::arg("mult"), py::arg("final"), py::arg("warmup"));
  m.def(
      "schedule_noam",
      [](Object d_model, Object warmup, Object factor) {
        return Schedule::noam(index_arg("noam", "d_model", d_model), index_arg("noam", "warmup", warmup),
                              number_arg("noam", "factor", factor));
      },
      py::arg("d_model"), py::arg("warmup"), py::arg("factor"));
  m.def(
      "schedule_one_cycle",
      [](Object max_lr, Object total_steps, Object pct_start, Object div_factor, Object final_div_factor,
         Object anneal) {
        const char* op = "one_cycle";
        return Schedule::one_cycle(number_arg(op, "max_lr", max_lr), index_arg(op, "total_steps", total_steps),
                                   number_arg(op, "pct_start", pct_start), number_arg(op, "div_factor", div_factor),
                                   number_arg(op, "final_div_factor", final_div_factor),
                                   text_arg(op, "anneal", anneal));
      },
      py::arg("max_lr"), py::arg("total_steps"), py::arg("pct_start"), py::arg("div_factor"),
      py::arg("final_div_factor"), py::arg("anneal"));
  m.def(
      "schedule_plateau",
      [](Object lr, Object factor, Object patience, Object threshold, Object min_lr, Object cooldown, Object mode,
         Object threshold_mode) {
        const char* op = "plateau";
        return Schedule::plateau(number_arg(op, "lr", lr), number_arg(op, "factor", factor),
                                 index_arg(op, "patience", patience), number_arg(op, "threshold", threshold),
                                 number_arg(op, "min_lr", min_lr), index_arg(op, "cooldown", cooldown),
                                 text_arg(op, "mode", mode), text_arg(op, "threshold_mode", threshold_mode));
      },
      py::arg("lr"), py::arg("factor"), py::arg("patience"), py::arg("threshold"), py::arg("min_lr"),
      py::arg("cooldown"), py::arg("mode"), py::arg("threshold_mode"));
}

}  // namespace attendo::bindings
