#include <cmath>

#include "bindings/convert.h"
#include "train/reducer.h"
#include "train/snapshot.h"
#include "train/trainer.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using namespace train;

std::int64_t length_at(const Tensor& t, Index i) { return t.data<std::int64_t>()[i]; }

// Where each sequence begins, as attendo.data.Ragged hands it over.
std::vector<Index> starts_arg(Object starts, Index rows) {
  const Tensor t = to_tensor(starts, "Ragged", "starts", Want::kAny, Memory::kBorrow);
  check_rank("Ragged", "starts", t, 1, "(samples + 1,)");
  if (t.dtype() != DType::kInt64) type_error("Ragged: starts has dtype ", dtype_name(t.dtype()), " but must be int64");
  if (t.size() < 1 || length_at(t, 0) != 0 || length_at(t, t.size() - 1) != rows) {
    value_error("Ragged: starts must go from 0 to the ", rows, " rows of values");
  }
  std::vector<Index> out(t.data<std::int64_t>(), t.data<std::int64_t>() + t.size());
  if (!std::is_sorted(out.begin(), out.end())) value_error("Ragged: starts must not fall");
  return out;
}

Samples column_arg(const char* op, const char* arg, py::handle x) {
  if (py::isinstance<Samples>(x)) return py::cast<Samples>(x);
  return {to_tensor(x, op, arg, Want::kAny, Memory::kBorrow), {}, 0};
}

Columns columns_arg(const char* op, const char* arg, Object columns) {
  Columns out;
  if (py::isinstance<py::tuple>(columns)) {
    for (const py::handle x : columns) out.push_back(column_arg(op, arg, x));
  } else {
    out.push_back(column_arg(op, arg, columns));
  }
  return out;
}

Tensor weight_arg(const char* op, Object weight) {
  return weight.is_none() ? Tensor() : to_tensor(weight, op, "sample_weight", Want::kFloat, Memory::kBorrow);
}

// One batch that Python made: an array, or a tuple of them.
Tensors batch_arg(const char* op, const char* arg, py::handle x) {
  Tensors out;
  if (py::isinstance<py::tuple>(x) || py::isinstance<py::list>(x)) {
    for (const py::handle item : x) out.push_back(to_tensor(item, op, arg, Want::kAny, Memory::kCopy));
  } else {
    out.push_back(to_tensor(x, op, arg, Want::kAny, Memory::kCopy));
  }
  for (const Tensor& t : out) check_min_rank(op, arg, t, 1, "(samples, ...)");
  if (out.empty()) value_error(op, ": ", arg, " of a batch is empty");
  return out;
}

void check_rows(const char* op, const Batch& batch) {
  const Index rows = batch.size();
  if (rows == 0) value_error(op, ": a batch has no samples");
  for (const Tensors* list : {&batch.inputs, &batch.targets}) {
    for (const Tensor& t : *list) {
      if (t.dim(0) != rows) {
        value_error(op, ": a batch has arrays of ", rows, " and of ", t.dim(0), " samples; they must have as many");
      }
    }
  }
  if (batch.sample_weight) check_shape(op, "sample_weight", batch.sample_weight, {rows});
}

// Batches that a Python iterable gives: (inputs, target) or (inputs, target, sample_weight).
class IterableBatches : public BatchSource {
 public:
  explicit IterableBatches(py::object iterable) : iterable_(std::move(iterable)) {
    if (has_length(iterable_)) batches_ = static_cast<Index>(py::len(iterable_));
  }
  ~IterableBatches() override {
    const py::gil_scoped_acquire gil;
    iterable_ = py::object();
    iterator_ = py::object();
  }
  Index batches() const override { return batches_; }
  void start(Index epoch, Index skip) override {
    const py::gil_scoped_acquire gil;
    if (py::hasattr(iterable_, "set_epoch")) iterable_.attr("set_epoch")(epoch);
    iterator_ = py::iter(iterable_);
    for (Index i = 0; i < skip && next_item(); ++i) continue;
  }
  bool next(Batch& batch) override {
    const py::gil_scoped_acquire gil;
    const py::object item = next_item();
    if (!item) return false;
    const bool is_sequence = py::isinstance<py::tuple>(item) || py::isinstance<py::list>(item);
    if (!is_sequence || py::len(item) < 2 || py::len(item) > 3) {
      type_error("fit: inputs gave a ", py::cast<std::string>(py::type::of(item).attr("__name__")),
                 " but a batch must be (inputs, target) or (inputs, target, sample_weight)");
    }
    const auto parts = py::reinterpret_borrow<py::sequence>(item);
    batch.inputs = batch_arg("fit", "inputs", py::object(parts[0]));
    batch.targets = batch_arg("fit", "target", py::object(parts[1]));
    if (py::len(item) == 3 && !py::object(parts[2]).is_none()) {
      batch.sample_weight = to_tensor(py::object(parts[2]), "fit", "sample_weight", Want::kFloat, Memory::kCopy);
    }
    check_rows("fit", batch);
    return true;
  }

 private:
  py::object next_item() {
    PyObject* item = PyIter_Next(iterator_.ptr());
    if (item == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(item);
  }
  py::object iterable_, iterator_;
  Index batches_ = -1;
};

// attendo.train.Objective: (repeats, loss(batch), after_backward(batch) or None).
class PyObjective : public Objective {
 public:
  PyObjective(Index repeats, py::function loss, py::object after_backward)
      : repeats_(repeats), loss_(std::move(loss)), after_backward_(std::move(after_backward)) {}
  Index repeats() const override { return repeats_; }
  Tensor loss(Trainer&, const Batch& batch) override {
    const py::gil_scoped_acquire gil;
    const py::object result = loss_(batch);
    if (!is_tensor(result)) {
      type_error("fit: the objective's loss gave a ", py::cast<std::string>(py::type::of(result).attr("__name__")),
                 " but must give a Tensor");
    }
    const Tensor loss = py::cast<Tensor>(result);
    check_shape("fit", "the objective's loss", loss, {});
    return loss;
  }
  bool has_after_backward() const override { return !after_backward_.is_none(); }
  void after_backward(Trainer&, const Batch& batch) override {
    if (!has_after_backward()) return;
    const py::gil_scoped_acquire gil;
    after_backward_(batch);
  }

 private:
  Index repeats_;
  py::function loss_;
  py::object after_backward_;
};

py::dict progress_dict(const Progress& p) {
  py::dict d;
  d["step"] = p.step, d["steps"] = p.steps < 0 ? py::object(py::none()) : py::object(py::int_(p.steps));
  d["epoch"] = p.epoch, d["epochs"] = p.epochs;
  d["loss"] = p.loss, d["lr"] = p.lr, d["seconds"] = p.seconds;
  d["steps_per_second"] = p.seconds > 0 ? static_cast<double>(p.step) / p.seconds : 0.0;
  return d;
}

py::array_t<double> array_of(const std::vector<double>& values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::dict history_dict(const History& h) {
  py::dict d, time;
  d["step_loss"] = array_of(h.step_loss), d["lr"] = array_of(h.lr), d["loss"] = array_of(h.loss);
  d["seconds"] = h.seconds;
  for (size_t i = 0; i < kPartNames.size(); ++i) time[kPartNames[i]] = h.seconds_of[i];
  d["time"] = time;
  return d;
}

py::dict state_dict(const FitState& s) {
  py::dict d;
  d["history"] = history_dict(s.history);
  d["first_epoch"] = s.first_epoch, d["epoch"] = s.epoch, d["batches"] = s.batches;
  d["epoch_loss"] = s.epoch_loss, d["epoch_count"] = s.epoch_count, d["stopped"] = s.stopped;
  return d;
}

std::vector<double> doubles(const py::dict& d, const char* name) {
  const Tensor t = to_tensor(py::object(d[name]), "restore", name, Want::kFloat, Memory::kBorrow);
  check_rank("restore", name, t, 1, "(n,)");
  if (t.dtype() != DType::kFloat64) type_error("restore: ", name, " must be float64");
  return {t.data<double>(), t.data<double>() + t.size()};
}

FitState state_arg(const py::dict& d) {
  FitState s;
  const py::dict h = d["history"], time = h["time"];
  s.history.step_loss = doubles(h, "step_loss");
  s.history.lr = doubles(h, "lr");
  s.history.loss = doubles(h, "loss");
  auto number = [](const py::dict& from, const char* name) {
    return number_arg("restore", name, py::object(from[name]));
  };
  s.history.seconds = number(h, "seconds");
  for (size_t i = 0; i < kPartNames.size(); ++i) s.history.seconds_of[i] = number(time, kPartNames[i]);
  auto count = [&d](const char* name) {
    const Index value = index_arg("restore", name, py::object(d[name]));
    if (value < 0) value_error("restore: ", name, " is ", value, " but must be 0 or more");
    return value;
  };
  s.first_epoch = count("first_epoch"), s.epoch = count("epoch"), s.batches = count("batches");
  s.epoch_loss = number(d, "epoch_loss"), s.epoch_count = number(d, "epoch_count");
  if (!py::isinstance<py::bool_>(d["stopped"])) type_error("restore: stopped must be true or false");
  s.stopped = py::cast<bool>(d["stopped"]);
  return s;
}

BatchPlan plan_arg(const TrainerOptions& options, const py::dict& d, Index samples) {
  BatchPlan plan;
  plan.batch_size = index_arg("fit", "batch_size", py::object(d["batch_size"]));
  plan.shuffle = py::cast<bool>(d["shuffle"]);
  plan.seed = options.seed;
  if (const py::object lengths = d["lengths"]; !lengths.is_none()) {
    const Tensor t = to_tensor(lengths, "fit", "bucket_by", Want::kAny, Memory::kBorrow);
    if (t.dtype() != DType::kInt64)
      type_error("fit: bucket_by has dtype ", dtype_name(t.dtype()), " but must be int64");
    check_shape("fit", "bucket_by", t, {samples});
    plan.lengths.assign(t.data<std::int64_t>(), t.data<std::int64_t>() + samples);
    if (*std::min_element(plan.lengths.begin(), plan.lengths.end()) < 0) {
      value_error("fit: bucket_by has a length below 0");
    }
  }
  if (const py::object tokens = d["batch_tokens"]; !tokens.is_none()) {
    plan.batch_tokens = index_arg("fit", "batch_tokens", tokens);
    if (plan.batch_tokens < 1) value_error("fit: batch_tokens is ", plan.batch_tokens, " but must be 1 or more");
    if (plan.lengths.empty()) value_error("fit: batch_tokens needs bucket_by");
  }
  return plan;
}

std::function<void(Batch&)> transform_arg(Object augment) {
  if (augment.is_none()) return nullptr;
  return [augment](Batch& batch) {
    const py::gil_scoped_acquire gil;
    auto arrays = [](const Tensors& list) {
      py::tuple out(list.size());
      for (size_t i = 0; i < list.size(); ++i) out[i] = to_numpy(list[i], true);
      return out;
    };
    const py::tuple made = augment(arrays(batch.inputs), arrays(batch.targets), batch.seed);
    batch.inputs = batch_arg("fit", "augment's inputs", py::object(made[0]));
    batch.targets = batch_arg("fit", "augment's target", py::object(made[1]));
    check_rows("fit", batch);
  };
}

std::function<void(const Progress&)> listener_arg(Object listener) {
  if (listener.is_none()) return nullptr;
  return [listener](const Progress& p) {
    const py::gil_scoped_acquire gil;
    listener(progress_dict(p));
  };
}

py::tuple tuple_of(const Tensors& tensors) {
  py::tuple out(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) out[i] = py::cast(tensors[i]);
  return out;
}

py::dict fit(Trainer& self, Object inputs, Object target, Object sample_weight, Object epochs, const py::dict& plan,
             Object objective, Object augment, const py::dict& listeners) {
  const Index n = index_arg("fit", "epochs", epochs);
  Callbacks callbacks;
  callbacks.poll = check_signals;
  callbacks.on_batch_end = listener_arg(listeners["on_batch_end"]);
  callbacks.on_step = listener_arg(listeners["on_step"]);
  callbacks.on_epoch_end = listener_arg(listeners["on_epoch_end"]);
  const std::function<void(Batch&)> transform = transform_arg(augment);
  std::unique_ptr<Objective> minimized = std::make_unique<Objective>();
  if (!objective.is_none()) {
    const py::tuple parts = objective;
    minimized = std::make_unique<PyObjective>(index_arg("fit", "repeats", py::object(parts[0])), parts[1], parts[2]);
  }
  std::unique_ptr<BatchSource> source;
  Columns x, y;  // what they borrow lives as long as the arguments
  if (target.is_none()) {
    source = std::make_unique<IterableBatches>(inputs);
  } else {
    x = columns_arg("fit", "inputs", inputs);
    y = columns_arg("fit", "target", target);
    const Tensor weight = weight_arg("fit", sample_weight);
    const Index samples =
        check_columns("fit", x, &y, weight, index_arg("fit", "batch_size", py::object(plan["batch_size"])));
    BatchPlan cut = plan_arg(self.options(), plan, samples);
    if (self.reducer()) cut.rank = self.reducer()->rank(), cut.ranks = self.reducer()->size();
    source = std::make_unique<SampleBatches>(x, y, weight, cut);
  }
  without_gil([&] {
    self.fit(*source, n, *minimized, transform, callbacks);
    return 0;
  });
  return history_dict(self.state().history);
}

// All tensors that a trainer changes, by the names they have in a checkpoint.
std::vector<Snapshot::NamedTensor> tensors_of_trainer(const Trainer& trainer, bool model_only) {
  std::vector<Snapshot::NamedTensor> out;
  auto add = [&out](const std::string& prefix, const auto& named) {
    for (const auto& [name, x] : named) out.emplace_back(prefix + name, x);
  };
  add("model.", trainer.model()->named_parameters());
  add("model.", trainer.model()->named_buffers());
  if (model_only) return out;
  add("loss.", trainer.loss()->parameters());
  add("optimizer.", trainer.optimizer()->state());
  if (trainer.average()) add("average.", trainer.average()->state());
  return out;
}

}  // namespace

void bind_trainer(py::module_& m) {
  py::classh<Snapshot>(m, "Snapshot", "A copy of all that a Trainer changes, in one block of memory.")
      .def(py::init<>())
      .def(
          "take",
          [](Snapshot& self, const Trainer& trainer, bool model_only) {
            const auto tensors = tensors_of_trainer(trainer, model_only);
            without_gil([&] {
              self.take(tensors);
              return 0;
            });
            py::list out;
            for (const Snapshot::Entry& e : self.entries()) {
              py::tuple shape(static_cast<size_t>(e.shape.rank()));
              for (int axis = 0; axis < e.shape.rank(); ++axis) shape[static_cast<size_t>(axis)] = e.shape[axis];
              out.append(py::make_tuple(e.name, dtype_name(e.dtype), shape, e.begin, e.end));
            }
            return out;
          },
          py::arg("trainer"), py::arg("model_only") = false, "(name, dtype, shape, first byte, end) of each tensor.")
      .def_property_readonly("data", [](const Snapshot& self) {
        return py::memoryview::from_memory(self.block().raw(), static_cast<py::ssize_t>(self.bytes()));
      });
  py::class_<Samples>(m, "Samples", "Sequences of unequal lengths; attendo.data.Ragged is its Python face.")
      .def(py::init([](Object values, Object starts, Object padding) {
             Samples s;
             s.values = to_tensor(values, "Ragged", "values", Want::kAny, Memory::kCopy);
             check_min_rank("Ragged", "values", s.values, 1, "(rows, ...)");
             if (s.values.rank() == kMaxRank) value_error("Ragged: values has ", kMaxRank, " axes, one too many");
             s.starts = starts_arg(starts, s.values.dim(0));
             s.padding = number_arg("Ragged", "padding", padding);
             return s;
           }),
           py::arg("values"), py::arg("starts"), py::arg("padding"));
  py::class_<Batch>(m, "Batch", "What one forward pass gets; attendo.train.Batch is its Python face.")
      .def_property_readonly("inputs", [](const Batch& b) { return tuple_of(b.inputs); })
      .def_property_readonly("targets", [](const Batch& b) { return tuple_of(b.targets); })
      .def_property_readonly("sample_weight",
                             [](const Batch& b) { return b.sample_weight ? py::cast(b.sample_weight) : py::none(); })
      .def_property_readonly("totals", [](const Batch& b) { return b.totals; })
      .def_property_readonly("seed", [](const Batch& b) { return b.seed; })
      .def_property_readonly("epoch", [](const Batch& b) { return b.epoch; })
      .def_property_readonly("step", [](const Batch& b) { return b.step; })
      .def_property_readonly("repeat", [](const Batch& b) { return b.repeat; });

  py::classh<Trainer>(m, "Trainer", "The training loop; attendo.train.Trainer is its Python face.")
      .def(py::init([](Object model, Object loss, Object optimizer, Object seed, Object clip_norm, Object clip_value,
                       Object accumulate, Object average) {
             if (!py::isinstance<Loss>(loss)) type_error("Trainer: loss must be one of attendo.losses");
             if (!py::isinstance<Optimizer>(optimizer)) type_error("Trainer: optimizer must be one of attendo.optim");
             auto clip = [](const char* name, Object value) {
               const double limit = value.is_none() ? 0.0 : number_arg("Trainer", name, value);
               if (!value.is_none() && !(limit > 0)) {
                 value_error("Trainer: ", name, " is ", limit, " but must be above 0, or None");
               }
               return limit;
             };
             TrainerOptions o;
             o.seed = seed_arg("Trainer", seed).value_or(entropy());
             o.clip_norm = clip("clip_norm", clip_norm);
             o.clip_value = clip("clip_value", clip_value);
             o.accumulate = index_arg("Trainer", "accumulate", accumulate);
             if (!average.is_none()) o.average = number_arg("Trainer", "average", average);
             return std::make_shared<Trainer>(module_arg("Trainer", "model", model),
                                              py::cast<std::shared_ptr<Loss>>(loss),
                                              py::cast<std::shared_ptr<Optimizer>>(optimizer), o);
           }),
           py::arg("model"), py::arg("loss"), py::arg("optimizer"), py::arg("seed"), py::arg("clip_norm"),
           py::arg("clip_value"), py::arg("accumulate"), py::arg("average"))
      .def("fit", &fit, py::arg("inputs"), py::arg("target"), py::arg("sample_weight"), py::arg("epochs"),
           py::arg("plan"), py::arg("objective"), py::arg("augment"), py::arg("listeners"))
      .def("distribute", &Trainer::distribute, py::arg("reducer").none(false), "Share each step with others.")
      .def(
          "synchronize",
          [](Trainer& self) {
            without_gil([&] {
              self.synchronize();
              return 0;
            });
          },
          "Give all processes what rank 0 has.")
      .def("begin", &Trainer::begin)
      .def_property_readonly("settled", &Trainer::settled)
      .def("stop", &Trainer::stop)
      .def_property_readonly("state", [](const Trainer& self) { return state_dict(self.state()); })
      .def(
          "restore", [](Trainer& self, const py::dict& state) { self.restore(state_arg(state)); }, py::arg("state"))
      .def(
          "batch_loss",
          [](Trainer& self, const Batch& batch, Object inputs, Object outputs) {
            if (!inputs.is_none() && !outputs.is_none()) {
              value_error("batch_loss: give inputs or outputs, not both");
            }
            if (!outputs.is_none()) {
              const Tensors y = batch_arg("batch_loss", "outputs", outputs);
              return without_gil([&] { return self.output_loss(batch, y); });
            }
            const Tensors x = inputs.is_none() ? batch.inputs : batch_arg("batch_loss", "inputs", inputs);
            return without_gil([&] { return self.batch_loss(batch, x); });
          },
          py::arg("batch"), py::arg("inputs"), py::arg("outputs"))
      .def(
          "evaluate",
          [](Trainer& self, Object inputs, Object target, Object sample_weight, Object batch_size, bool keep) {
            const Columns x = columns_arg("evaluate", "inputs", inputs), y = columns_arg("evaluate", "target", target);
            const Tensor weight = weight_arg("evaluate", sample_weight);
            const Index batch = index_arg("evaluate", "batch_size", batch_size);
            const Evaluation e = without_gil([&] { return self.evaluate(x, y, weight, batch, keep, check_signals); });
            py::dict d;
            d["loss"] = e.loss;
            if (e.accuracy >= 0) d["accuracy"] = e.accuracy;
            py::tuple outputs(e.outputs.size());
            for (size_t i = 0; i < e.outputs.size(); ++i) outputs[i] = to_numpy(e.outputs[i], true);
            return py::make_tuple(d, outputs);
          },
          py::arg("inputs"), py::arg("target"), py::arg("sample_weight"), py::arg("batch_size"),
          py::arg("keep_outputs"))
      .def(
          "predict",
          [](Trainer& self, Object inputs, Object batch_size, bool all_outputs) {
            const Columns x = columns_arg("predict", "inputs", inputs);
            const Index batch = index_arg("predict", "batch_size", batch_size);
            const Tensors y = without_gil([&] { return self.predict(x, batch, all_outputs, check_signals); });
            py::tuple outputs(y.size());
            for (size_t i = 0; i < y.size(); ++i) outputs[i] = to_numpy(y[i], true);
            return outputs;
          },
          py::arg("inputs"), py::arg("batch_size"), py::arg("all_outputs"))
      .def_property_readonly("seed", [](const Trainer& self) { return self.options().seed; })
      .def_property_readonly("average", &Trainer::average)
      .def_property_readonly("model", &Trainer::model)
      .def_property_readonly("loss", &Trainer::loss)
      .def_property_readonly("optimizer", &Trainer::optimizer);
}

}  // namespace attendo::bindings
