// What a loss is to Python, and losses written in Python.
#include "bindings/convert.h"
#include "bindings/tensors.h"
#include "ops/arithmetic.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "train/loss_terms.h"
#include "train/losses.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using namespace train;

std::string type_of(py::handle object) { return py::cast<std::string>(py::type::of(object).attr("__name__")); }

// One of them as it is, several as a tuple: what a loss written in Python sees.
py::object one_or_tuple(const Tensors& tensors, bool one) {
  if (one) return py::cast(tensors[0]);
  return py::tuple(list_of(tensors));
}

// Whether a Python function can be called with n arguments.
bool takes(const py::function& f, size_t n) {
  const py::object signature = py::module_::import("inspect").attr("signature");
  py::tuple none(n);
  for (size_t i = 0; i < n; ++i) none[i] = py::none();
  try {
    signature(f).attr("bind")(*none);
  } catch (py::error_already_set& error) {
    if (error.matches(PyExc_ValueError)) return true;  // it has no signature to ask
    if (!error.matches(PyExc_TypeError)) throw;
    return false;
  }
  return true;
}

// A loss written in Python: forward(prediction, target) gives the mean, count(target) of how many.
class PyLoss : public Loss, public py::trampoline_self_life_support {
 public:
  std::vector<double> counts(const Tensors& targets, const Tensor& sample_weight) const override {
    const py::gil_scoped_acquire gil;
    const py::function count = py::get_override(static_cast<const Loss*>(this), "count");
    if (count) {
      const double n =
          number_arg(name().c_str(), "what count returned", call(count, "count", {&targets}, sample_weight));
      if (!(n >= 0) || n > 1e300) value_error(name(), ".count returned ", n, " but must return a number from 0");
      return {n};
    }
    if (targets.empty()) value_error(name(), ": there is no target");
    return {weighted_samples(name().c_str(), targets[0], sample_weight)};
  }

  Tensor part(const Tensors& outputs, const Tensors& targets, const Tensor& sample_weight,
              const std::vector<double>& totals) const override {
    const double count = counts(targets, sample_weight)[0];
    const py::gil_scoped_acquire gil;
    first_output(name().c_str(), outputs);
    if (count == 0) {  // the mean of nothing may be NaN
      return sum(select(outputs[0], Tensor::full(outputs[0].shape(), DType::kBool, 0)));
    }
    const py::function forward = py::get_override(static_cast<const Loss*>(this), "forward");
    if (!forward) type_error(name(), ": define forward(self, prediction, target) to call it");
    // With one target the prediction is the first output: what else the model gives is not for the loss.
    const bool one = targets.size() == 1;
    const Tensors predictions = one ? Tensors{outputs[0]} : outputs;
    const py::object result = call(forward, "forward", {&predictions, &targets}, sample_weight);
    if (!is_tensor(result)) {
      type_error(name(), ".forward returned a ", type_of(result), " but must return a Tensor of shape ()");
    }
    const Tensor loss = py::cast<Tensor>(result);
    check_float((name() + ".forward").c_str(), "the result", loss);
    if (loss.rank() != 0) {
      value_error(name(), ".forward returned a Tensor of shape ", loss.shape(),
                  " but must return the mean, of shape ()");
    }
    if (grad_enabled() && needs_grad(outputs) && !loss.requires_grad()) {
      value_error(name(),
                  ".forward returned a Tensor that does not depend on the prediction: compute it with Tensors "
                  "and functions of attendo");
    }
    return count == totals[0] ? loss : scale(loss, count / totals[0]);
  }

  std::optional<std::pair<double, double>> correct(const Tensors& outputs, const Tensors& targets) const override {
    const py::gil_scoped_acquire gil;
    const py::function override = py::get_override(static_cast<const Loss*>(this), "correct");
    if (!override) return std::nullopt;
    const Tensors predictions = targets.size() == 1 ? Tensors{first_output(name().c_str(), outputs)} : outputs;
    const py::object result = call(override, "correct", {&predictions, &targets}, Tensor());
    if (result.is_none()) return std::nullopt;
    if (!py::isinstance<py::sequence>(result) || py::len(result) != 2) {
      type_error(name(), ".correct returned a ", type_of(result), " but must return (right, of how many) or None");
    }
    return std::pair(number_arg(name().c_str(), "what correct returned", result[py::int_(0)]),
                     number_arg(name().c_str(), "what correct returned", result[py::int_(1)]));
  }

  std::vector<std::pair<std::string, Tensor>> parameters() const override {
    const py::gil_scoped_acquire gil;
    const py::function override = py::get_override(static_cast<const Loss*>(this), "parameters");
    if (!override) return {};
    const py::object result = override();
    if (!py::isinstance<py::dict>(result)) {
      type_error(name(), ".parameters returned a ", type_of(result), " but must return a dict of Tensors");
    }
    std::vector<std::pair<std::string, Tensor>> out;
    for (const auto& [key, value] : py::reinterpret_borrow<py::dict>(result)) {
      if (!is_tensor(value)) type_error(name(), ".parameters holds a ", type_of(value), " but must hold Tensors");
      out.emplace_back(py::cast<std::string>(py::str(key)), py::cast<Tensor>(value));
    }
    return out;
  }

  std::string repr() const override {
    const py::gil_scoped_acquire gil;
    const py::function override = py::get_override(static_cast<const Loss*>(this), "__repr__");
    return override ? py::cast<std::string>(override()) : name() + "()";
  }

 private:
  std::string name() const { return type_of(py::cast(static_cast<const Loss*>(this))); }

  py::object call(const py::function& f, const char* method, std::initializer_list<const Tensors*> arguments,
                  const Tensor& sample_weight) const {
    py::list args;
    for (const Tensors* tensors : arguments) args.append(one_or_tuple(*tensors, tensors->size() == 1));
    if (sample_weight) {
      if (!takes(f, args.size() + 1)) {
        type_error(name(), ".", method, " takes ", args.size(), args.size() == 1 ? " argument" : " arguments",
                   ", but there is a sample_weight: let it take one more");
      }
      args.append(py::cast(sample_weight));
    }
    return f(*py::tuple(args));
  }
};

// One array, or a tuple of them.
Tensors tensors_arg(const char* arg, Object value, Want want) {
  Tensors out;
  if (value.is_none()) type_error("loss: ", arg, " is None");
  if (!py::isinstance<py::tuple>(value)) return {to_tensor(value, "loss", arg, want, Memory::kCopy)};
  for (const py::handle x : value) out.push_back(to_tensor(x, "loss", arg, want, Memory::kCopy));
  return out;
}

Tensor sample_weight_arg(Object value) {
  return value.is_none() ? Tensor() : to_tensor(value, "loss", "sample_weight", Want::kFloat, Memory::kCopy);
}

std::vector<double> totals_arg(Object totals, size_t expected) {
  if (!py::isinstance<py::sequence>(totals) || py::len(totals) != expected) {
    value_error("loss: totals must be ", expected, " numbers, as counts gives them");
  }
  std::vector<double> out;
  for (const py::handle x : totals) out.push_back(number_arg("loss", "totals", x));
  return out;
}

// Where a loss looks at no target, the first prediction says how many samples there are.
Tensors targets_arg(const Loss& self, const Tensors& outputs, Object target) {
  if (target.is_none() && !self.needs_target() && !outputs.empty()) return {outputs[0].detach()};
  return tensors_arg("target", target, Want::kAny);
}

}  // namespace

void bind_loss(py::module_& m) {
  py::classh<Loss, PyLoss>(m, "Loss", "A number for a batch.")
      .def(py::init<>())
      .def(
          "__call__",
          [](const Loss& self, Object prediction, Object target, Object sample_weight) {
            const Tensors outputs = tensors_arg("prediction", prediction, Want::kFloat);
            const Tensors targets = targets_arg(self, outputs, target);
            const Tensor weight = sample_weight_arg(sample_weight);
            return without_gil([&] { return self.forward(outputs, targets, weight); });
          },
          py::arg("prediction"), py::arg("target"), py::arg("sample_weight") = py::none())
      .def(
          "counts",
          [](const Loss& self, Object target, Object sample_weight) {
            const Tensors targets = tensors_arg("target", target, Want::kAny);
            const Tensor weight = sample_weight_arg(sample_weight);
            return without_gil([&] { return self.counts(targets, weight); });
          },
          py::arg("target"), py::arg("sample_weight") = py::none())
      .def(
          "part",
          [](const Loss& self, Object prediction, Object target, Object totals, Object sample_weight) {
            const Tensors outputs = tensors_arg("prediction", prediction, Want::kFloat);
            const Tensors targets = targets_arg(self, outputs, target);
            const Tensor weight = sample_weight_arg(sample_weight);
            const std::vector<double> all = totals_arg(totals, self.counts(targets, weight).size());
            return without_gil([&] { return self.part(outputs, targets, weight, all); });
          },
          py::arg("prediction"), py::arg("target"), py::arg("totals"), py::arg("sample_weight") = py::none())
      .def("parameters",
           [](const Loss& self) {
             py::dict out;
             for (const auto& [name, value] : self.parameters()) out[py::str(name)] = py::cast(value);
             return out;
           })
      .def("__repr__", &Loss::repr);
}

}  // namespace attendo::bindings
