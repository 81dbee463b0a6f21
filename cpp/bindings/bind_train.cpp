#include "bindings/convert.h"
#include "train/trainer.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using namespace train;

Tensors inputs_arg(const char* op, Object inputs) {
  Tensors out;
  auto add = [&](py::handle x) { out.push_back(to_tensor(x, op, "inputs", Want::kAny, Memory::kBorrow)); };
  if (py::isinstance<py::tuple>(inputs)) {
    for (const py::handle x : inputs) add(x);
  } else {
    add(inputs);
  }
  return out;
}

py::dict progress_dict(const Progress& p) {
  py::dict d;
  d["step"] = p.step, d["steps"] = p.steps, d["epoch"] = p.epoch, d["epochs"] = p.epochs;
  d["loss"] = p.loss, d["lr"] = p.lr, d["seconds"] = p.seconds;
  d["steps_per_second"] = p.seconds > 0 ? static_cast<double>(p.step) / p.seconds : 0.0;
  return d;
}

py::array_t<double> array_of(const std::vector<double>& values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::dict history_dict(const History& h) {
  py::dict d;
  d["step_loss"] = array_of(h.step_loss), d["lr"] = array_of(h.lr), d["loss"] = array_of(h.loss),
  d["seconds"] = h.seconds;
  return d;
}

void bind_trainer(py::module_& m) {
  py::classh<Trainer>(m, "Trainer", "The training loop; attendo.train.Trainer is its Python face.")
      .def(py::init([](Object model, Object loss, Object optimizer, Object seed, Object clip_norm) {
             if (!py::isinstance<Loss>(loss)) type_error("Trainer: loss must be one of attendo.losses");
             if (!py::isinstance<Optimizer>(optimizer)) type_error("Trainer: optimizer must be one of attendo.optim");
             const double clip = clip_norm.is_none() ? 0.0 : number_arg("Trainer", "clip_norm", clip_norm);
             if (!clip_norm.is_none() && !(clip > 0))
               value_error("Trainer: clip_norm is ", clip, " but must be above 0, or None");
             return std::make_shared<Trainer>(
                 module_arg("Trainer", "model", model), py::cast<std::shared_ptr<Loss>>(loss),
                 py::cast<std::shared_ptr<Optimizer>>(optimizer), seed_arg("Trainer", seed).value_or(entropy()), clip);
           }),
           py::arg("model"), py::arg("loss"), py::arg("optimizer"), py::arg("seed"), py::arg("clip_norm"))
      .def(
          "fit",
          [](Trainer& self, Object inputs, Object target, Object epochs, Object batch_size, bool shuffle,
             Object on_step, Object on_epoch_end) {
            const Tensors x = inputs_arg("fit", inputs);
            const Tensor y = to_tensor(target, "fit", "target", Want::kAny, Memory::kBorrow);
            const Index n = index_arg("fit", "epochs", epochs), batch = index_arg("fit", "batch_size", batch_size);
            Callbacks callbacks;
            callbacks.poll = check_signals;
            if (!on_step.is_none()) {
              callbacks.on_step = [&](const Progress& p) {
                const py::gil_scoped_acquire gil;
                on_step(progress_dict(p));
              };
            }
            if (!on_epoch_end.is_none()) {
              callbacks.on_epoch_end = [&](const Progress& p, const History& h) {
                const py::gil_scoped_acquire gil;
                on_epoch_end(progress_dict(p), history_dict(h));
              };
            }
            return history_dict(without_gil([&] { return self.fit(x, y, n, batch, shuffle, callbacks); }));
          },
          py::arg("inputs"), py::arg("target"), py::arg("epochs"), py::arg("batch_size"), py::arg("shuffle"),
          py::arg("on_step"), py::arg("on_epoch_end"))
      .def(
          "evaluate",
          [](Trainer& self, Object inputs, Object target, Object batch_size) {
            const Tensors x = inputs_arg("evaluate", inputs);
            const Tensor y = to_tensor(target, "evaluate", "target", Want::kAny, Memory::kBorrow);
            const Index batch = index_arg("evaluate", "batch_size", batch_size);
            const Evaluation e = without_gil([&] { return self.evaluate(x, y, batch, check_signals); });
            py::dict d;
            d["loss"] = e.loss;
            if (e.accuracy >= 0) d["accuracy"] = e.accuracy;
            return d;
          },
          py::arg("inputs"), py::arg("target"), py::arg("batch_size"))
      .def(
          "predict",
          [](Trainer& self, Object inputs, Object batch_size) {
            const Tensors x = inputs_arg("predict", inputs);
            const Index batch = index_arg("predict", "batch_size", batch_size);
            return to_numpy(without_gil([&] { return self.predict(x, batch, check_signals); }), true);
          },
          py::arg("inputs"), py::arg("batch_size"))
      .def_property_readonly("model", &Trainer::model)
      .def_property_readonly("loss", &Trainer::loss)
      .def_property_readonly("optimizer", &Trainer::optimizer);
}

}  // namespace

void bind_train(py::module_& m) { bind_trainer(m); }

}  // namespace attendo::bindings
