#include "bindings/convert.h"
#include "train/cross_entropy_loss.h"
#include "train/distillation.h"
#include "train/info_nce.h"
#include "train/multi_task.h"
#include "train/pointwise_losses.h"
#include "train/triplet.h"

namespace attendo::bindings {

void bind_loss(py::module_& m);

namespace {

using Object = const py::object&;
using namespace train;

std::string type_of(py::handle object) { return py::cast<std::string>(py::type::of(object).attr("__name__")); }

std::optional<Index> ignore_arg(const char* op, Object value) {
  if (value.is_none()) return std::nullopt;
  return index_arg(op, "ignore_index", value);
}

Tensor weights_arg(const char* op, const char* arg, Object value) {
  return value.is_none() ? Tensor() : to_tensor(value, op, arg, Want::kFloat, Memory::kCopy).detach();
}

// For a config: what JSON can hold.
py::object plain(std::optional<Index> value) { return value ? py::object(py::int_(*value)) : py::none(); }
py::object plain(const Tensor& value) {
  return value ? py::object(to_numpy(value, false).attr("tolist")()) : py::none();
}

template <typename... Options>
py::dict config(const char* type, Options&&... options) {
  py::dict out(py::arg("type") = type, std::forward<Options>(options)...);
  return out;
}

std::shared_ptr<Loss> task_arg(py::handle loss) {
  if (!py::isinstance<Loss>(loss)) {
    type_error("MultiTask: losses holds a ", type_of(loss),
               " but must hold losses of attendo.losses; from_function makes one of a function");
  }
  return py::cast<std::shared_ptr<Loss>>(loss);
}

std::shared_ptr<MultiTask> multi_task(Object losses, Object weights) {
  MultiTask::Losses tasks;
  if (py::isinstance<py::dict>(losses)) {
    for (const auto& [name, loss] : py::reinterpret_borrow<py::dict>(losses)) {
      const auto key = py::cast<std::string>(py::str(name));
      if (key.empty()) value_error("MultiTask: a task has an empty name");
      tasks.emplace_back(key, task_arg(loss));
    }
  } else if (py::isinstance<py::list>(losses) || py::isinstance<py::tuple>(losses)) {
    for (const py::handle loss : losses) tasks.emplace_back("", task_arg(loss));
  } else {
    type_error("MultiTask: losses is a ", type_of(losses), " but must be a dict or a list of losses");
  }
  if (weights.is_none()) return std::make_shared<MultiTask>(tasks, std::vector<double>(), false);
  if (py::isinstance<py::str>(weights)) {
    const auto text = py::cast<std::string>(weights);
    if (text != "uncertainty") {
      value_error("MultiTask: weights is '", text, "' but must be numbers, None or 'uncertainty'");
    }
    return std::make_shared<MultiTask>(tasks, std::vector<double>(), true);
  }
  if (!py::isinstance<py::list>(weights) && !py::isinstance<py::tuple>(weights)) {
    type_error("MultiTask: weights is a ", type_of(weights), " but must be a list of numbers, None or 'uncertainty'");
  }
  std::vector<double> values;
  for (const py::handle w : weights) values.push_back(number_arg("MultiTask", "weights", w));
  if (values.size() != tasks.size()) {
    value_error("MultiTask: there are ", values.size(), " weights for ", tasks.size(), " losses");
  }
  return std::make_shared<MultiTask>(tasks, values, false);
}

py::dict multi_task_config(const MultiTask& self) {
  const bool named = !self.losses()[0].first.empty();
  py::dict by_name;
  py::list in_order;
  for (const auto& [name, loss] : self.losses()) {
    const py::object object = py::cast(loss);
    if (!py::hasattr(object, "config")) {
      type_error("MultiTask: ", type_of(object), " is written in Python and has no config");
    }
    in_order.append(object.attr("config"));
    if (named) by_name[py::str(name)] = object.attr("config");
  }
  const py::object weights = self.uncertainty() ? py::object(py::str("uncertainty")) : py::cast(self.weights());
  return config("MultiTask", py::arg("losses") = named ? py::object(by_name) : py::object(in_order),
                py::arg("weights") = weights);
}

void bind_of_logits(py::module_& m) {
  py::classh<CrossEntropy, Loss>(m, "CrossEntropy", "Cross-entropy of logits, the mean over the targets that count.",
                                 py::is_final())
      .def(py::init([](Object ignore_index, Object label_smoothing, Object weight) {
             CrossEntropyOptions options;
             options.ignore_index = ignore_arg("CrossEntropy", ignore_index);
             options.label_smoothing = number_arg("CrossEntropy", "label_smoothing", label_smoothing);
             options.weight = weights_arg("CrossEntropy", "weight", weight);
             return std::make_shared<CrossEntropy>(options);
           }),
           py::arg("ignore_index") = py::none(), py::arg("label_smoothing") = 0.0, py::kw_only(),
           py::arg("weight") = py::none())
      .def_property_readonly("config", [](const CrossEntropy& self) {
        const CrossEntropyOptions& o = self.options();
        return config("CrossEntropy", py::arg("ignore_index") = plain(o.ignore_index),
                      py::arg("label_smoothing") = o.label_smoothing, py::arg("weight") = plain(o.weight));
      });
  py::classh<BinaryCrossEntropy, Loss>(m, "BinaryCrossEntropy", "Cross-entropy of yes or no.", py::is_final())
      .def(py::init([](Object pos_weight) {
             return std::make_shared<BinaryCrossEntropy>(weights_arg("BinaryCrossEntropy", "pos_weight", pos_weight));
           }),
           py::kw_only(), py::arg("pos_weight") = py::none())
      .def_property_readonly("config", [](const BinaryCrossEntropy& self) {
        return config("BinaryCrossEntropy", py::arg("pos_weight") = plain(self.pos_weight()));
      });
  py::classh<KLDivergence, Loss>(m, "KLDivergence", "Divergence of logits from probabilities.", py::is_final())
      .def(py::init<>())
      .def_property_readonly("config", [](const KLDivergence&) { return config("KLDivergence"); });
  py::classh<Distillation, Loss>(m, "Distillation", "What a teacher says and what is true.", py::is_final())
      .def(py::init([](Object temperature, Object alpha, Object ignore_index) {
             return std::make_shared<Distillation>(number_arg("Distillation", "temperature", temperature),
                                                   number_arg("Distillation", "alpha", alpha),
                                                   ignore_arg("Distillation", ignore_index));
           }),
           py::arg("temperature") = 2.0, py::arg("alpha") = 0.5, py::kw_only(), py::arg("ignore_index") = py::none())
      .def_property_readonly("config", [](const Distillation& self) {
        return config("Distillation", py::arg("temperature") = self.temperature(), py::arg("alpha") = self.alpha(),
                      py::arg("ignore_index") = plain(self.ignore_index()));
      });
}

void bind_of_numbers(py::module_& m) {
  py::classh<MeanSquaredError, Loss>(m, "MeanSquaredError", "The mean of the squared differences.", py::is_final())
      .def(py::init<>())
      .def_property_readonly("config", [](const MeanSquaredError&) { return config("MeanSquaredError"); });
  py::classh<MeanAbsoluteError, Loss>(m, "MeanAbsoluteError", "The mean of the absolute differences.", py::is_final())
      .def(py::init<>())
      .def_property_readonly("config", [](const MeanAbsoluteError&) { return config("MeanAbsoluteError"); });
  py::classh<Huber, Loss>(m, "Huber", "Squared near zero, absolute beyond delta.", py::is_final())
      .def(py::init([](Object delta) { return std::make_shared<Huber>(number_arg("Huber", "delta", delta)); }),
           py::arg("delta") = 1.0)
      .def_property_readonly("config",
                             [](const Huber& self) { return config("Huber", py::arg("delta") = self.delta()); });
  py::classh<Mean, Loss>(m, "Mean", "The mean of the losses a model gives.", py::is_final())
      .def(py::init<>())
      .def_property_readonly("config", [](const Mean&) { return config("Mean"); });
}

void bind_contrastive(py::module_& m) {
  py::classh<InfoNCE, Loss>(m, "InfoNCE", "Rows that belong together among those of a batch.", py::is_final())
      .def(py::init([](Object temperature, bool symmetric, bool normalize) {
             return std::make_shared<InfoNCE>(number_arg("InfoNCE", "temperature", temperature), symmetric, normalize);
           }),
           py::arg("temperature") = 0.1, py::kw_only(), py::arg("symmetric") = true, py::arg("normalize") = true)
      .def_property_readonly("config", [](const InfoNCE& self) {
        return config("InfoNCE", py::arg("temperature") = self.temperature(), py::arg("symmetric") = self.symmetric(),
                      py::arg("normalize") = self.normalize());
      });
  py::classh<NTXent, Loss>(m, "NTXent", "SimCLR's loss of two views.", py::is_final())
      .def(py::init([](Object temperature) {
             return std::make_shared<NTXent>(number_arg("NTXent", "temperature", temperature));
           }),
           py::arg("temperature") = 0.5)
      .def_property_readonly(
          "config", [](const NTXent& self) { return config("NTXent", py::arg("temperature") = self.temperature()); });
  py::classh<Triplet, Loss>(m, "Triplet", "The positive nearer than the negative.", py::is_final())
      .def(py::init([](Object margin, Object p, bool swap) {
             return std::make_shared<Triplet>(number_arg("Triplet", "margin", margin), number_arg("Triplet", "p", p),
                                              swap);
           }),
           py::arg("margin") = 1.0, py::arg("p") = 2.0, py::kw_only(), py::arg("swap") = false)
      .def_property_readonly("config", [](const Triplet& self) {
        return config("Triplet", py::arg("margin") = self.margin(), py::arg("p") = self.p(),
                      py::arg("swap") = self.swap());
      });
}

}  // namespace

void bind_losses(py::module_& m) {
  bind_loss(m);
  bind_of_logits(m);
  bind_of_numbers(m);
  bind_contrastive(m);
  py::classh<MultiTask, Loss>(m, "MultiTask", "The losses of several tasks.", py::is_final())
      .def(py::init(&multi_task), py::arg("losses"), py::arg("weights") = py::none())
      .def_property_readonly(
          "log_variance",
          [](const MultiTask& self) { return self.uncertainty() ? py::cast(self.log_variance()) : py::none(); })
      .def_property_readonly("config", &multi_task_config);
}

}  // namespace attendo::bindings
