#include "bindings/convert.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/batch_norm.h"
#include "ops/cross_entropy.h"
#include "ops/dropout.h"
#include "ops/embedding.h"
#include "ops/feed_forward.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/matmul.h"
#include "ops/negative_sampling.h"
#include "ops/reduce.h"
#include "ops/residual_norm.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using Unary = Tensor (*)(const Tensor&);
using Binary = Tensor (*)(const Tensor&, const Tensor&);
using Reduce = Tensor (*)(const Tensor&, const Axes&, bool);

// None, 'relu', 'gelu', 'gelu_tanh' or 'silu'.
Activation activation_arg(const char* function, Object activation) {
  if (activation.is_none()) return Activation::kNone;
  if (!PyUnicode_Check(activation.ptr())) {
    type_error(function, ": activation is a ", Py_TYPE(activation.ptr())->tp_name,
               " but must be 'relu', 'gelu', 'gelu_tanh', 'silu' or None");
  }
  if (activation.equal(py::str("relu"))) return Activation::kRelu;
  if (activation.equal(py::str("gelu"))) return Activation::kGelu;
  if (activation.equal(py::str("gelu_tanh"))) return Activation::kGeluTanh;
  if (activation.equal(py::str("silu"))) return Activation::kSilu;
  value_error(function, ": activation is ", std::string(py::repr(activation)),
              " but must be 'relu', 'gelu', 'gelu_tanh', 'silu' or None");
}

void def_unary(py::module_& m, const char* name, Unary function) {
  m.def(
      name,
      [name, function](Object x) {
        const Call call(name, {x});
        const Tensor in = call.tensor(x, "x");
        return call.result(without_gil([&] { return function(in); }));
      },
      py::arg("x"));
}

// Arrays of the same dtype; a plain number takes the other's.
void def_binary(py::module_& m, const char* name, Binary function) {
  m.def(
      name,
      [name, function](Object a, Object b) {
        const Call call(name, {a, b});
        auto number = [](Object x) { return PyFloat_CheckExact(x.ptr()) || PyLong_CheckExact(x.ptr()); };
        Tensor x = number(a) ? Tensor() : call.tensor(a, "a");
        Tensor y = number(b) ? Tensor() : call.tensor(b, "b");
        if (!x && !y) x = call.tensor(a, "a");
        if (!x) x = is_float(y.dtype()) ? Tensor::scalar(y.dtype(), number_arg(name, "a", a)) : call.tensor(a, "a");
        if (!y) y = is_float(x.dtype()) ? Tensor::scalar(x.dtype(), number_arg(name, "b", b)) : call.tensor(b, "b");
        return call.result(without_gil([&] { return function(x, y); }));
      },
      py::arg("a"), py::arg("b"));
}

void def_reduce(py::module_& m, const char* name, Reduce function) {
  m.def(
      name,
      [name, function](Object x, Object axis, bool keepdims) {
        const Call call(name, {x});
        const Tensor in = call.tensor(x, "x");
        const Axes axes = axis.is_none() ? Axes() : Axes(axes_arg(name, axis));
        return call.result(without_gil([&] { return function(in, axes, keepdims); }));
      },
      py::arg("x"), py::arg("axis") = py::none(), py::arg("keepdims") = false);
}

int axis_arg(const char* op, Object axis) {
  const Index value = index_arg(op, "axis", axis);
  if (value < -kMaxRank || value >= kMaxRank)
    value_error(op, ": axis is ", value, " but must be within the array's axes");
  return static_cast<int>(value);
}

}  // namespace

void bind_ops(py::module_& m) {
  def_unary(m, "relu", relu);
  def_unary(m, "tanh", tanh);
  def_unary(m, "sigmoid", sigmoid);
  def_unary(m, "silu", silu);
  def_unary(m, "quick_gelu", quick_gelu);
  def_unary(m, "softplus", softplus);
  def_unary(m, "exp", exp);
  def_unary(m, "log", log);
  def_unary(m, "sqrt", sqrt);
  def_binary(m, "add", add);
  def_binary(m, "subtract", subtract);
  def_binary(m, "multiply", multiply);
  def_binary(m, "divide", divide);
  def_binary(m, "matmul", matmul);
  def_reduce(m, "sum", sum);
  def_reduce(m, "mean", mean);
  def_reduce(m, "max", max);

  m.def(
      "gelu",
      [](Object x, const std::string& approximate) {
        if (approximate != "none" && approximate != "tanh") {
          value_error("gelu: approximate is '", approximate, "' but must be 'none' or 'tanh'");
        }
        const Call call("gelu", {x});
        const Tensor in = call.tensor(x, "x");
        return call.result(without_gil([&] { return gelu(in, approximate == "tanh"); }));
      },
      py::arg("x"), py::arg("approximate") = "none");

  m.def(
      "linear",
      [](Object x, Object weight, Object bias, Object activation) {
        const Activation f = activation_arg("linear", activation);
        const Call call("linear", {x, weight, bias});
        const Tensor in = call.tensor(x, "x"), w = call.tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        return call.result(without_gil([&] { return linear(in, w, b, f); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("bias") = py::none(), py::arg("activation") = py::none());

  m.def(
      "feed_forward",
      [](Object x, Object weight1, Object bias1, Object weight2, Object bias2, Object activation, Object dropout,
         Object generator) {
        const Activation f = activation_arg("feed_forward", activation);
        const double p = number_arg("feed_forward", "dropout", dropout);
        Generator* g = generator_arg("feed_forward", generator);
        const Call call("feed_forward", {x, weight1, bias1, weight2, bias2});
        const Tensor in = call.tensor(x, "x"), w1 = call.tensor(weight1, "weight1"),
                     b1 = call.optional_tensor(bias1, "bias1"), w2 = call.tensor(weight2, "weight2"),
                     b2 = call.optional_tensor(bias2, "bias2");
        return call.result(without_gil([&] { return feed_forward(in, w1, b1, w2, b2, f, p, g); }));
      },
      py::arg("x"), py::arg("weight1"), py::arg("bias1"), py::arg("weight2"), py::arg("bias2"),
      py::arg("activation") = "relu", py::arg("dropout") = 0.0, py::arg("generator") = py::none());

  m.def(
      "embedding",
      [](Object ids, Object weight, Object padding_idx, bool sparse) {
        const Call call("embedding", {ids, weight});
        const Tensor i = call.tensor(ids, "ids", Want::kAny), w = call.tensor(weight, "weight");
        const Index padding = padding_idx.is_none() ? kNoPadding : index_arg("embedding", "padding_idx", padding_idx);
        if (!padding_idx.is_none() && padding < 0)
          value_error("embedding: padding_idx is ", padding, " but must be 0 or more");
        return call.result(without_gil([&] { return embedding(i, w, padding, sparse); }));
      },
      py::arg("ids"), py::arg("weight"), py::arg("padding_idx") = py::none(), py::arg("sparse") = false);

  m.def(
      "negative_sampling",
      [](Object words, Object targets, Object negatives, Object input_vectors, Object output_vectors, bool sparse) {
        const Call call("negative_sampling", {words, targets, negatives, input_vectors, output_vectors});
        const Tensor i = call.tensor(words, "words", Want::kAny), t = call.tensor(targets, "targets", Want::kAny),
                     n = call.tensor(negatives, "negatives", Want::kAny);
        const Tensor w = call.tensor(input_vectors, "input_vectors"), u = call.tensor(output_vectors, "output_vectors");
        return call.result(without_gil([&] { return negative_sampling(i, t, n, w, u, sparse); }));
      },
      py::arg("words"), py::arg("targets"), py::arg("negatives"), py::arg("input_vectors"), py::arg("output_vectors"),
      py::arg("sparse") = false);

  m.def(
      "softmax",
      [](Object x, Object axis) {
        const Call call("softmax", {x});
        const Tensor in = call.tensor(x, "x");
        const int a = axis_arg("softmax", axis);
        return call.result(without_gil([&] { return softmax(in, a); }));
      },
      py::arg("x"), py::arg("axis") = -1);
  m.def(
      "log_softmax",
      [](Object x, Object axis) {
        const Call call("log_softmax", {x});
        const Tensor in = call.tensor(x, "x");
        const int a = axis_arg("log_softmax", axis);
        return call.result(without_gil([&] { return log_softmax(in, a); }));
      },
      py::arg("x"), py::arg("axis") = -1);

  m.def(
      "layer_norm",
      [](Object x, Object weight, Object bias, Object eps) {
        const Call call("layer_norm", {x, weight, bias});
        const Tensor in = call.tensor(x, "x"), w = call.optional_tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        const double e = number_arg("layer_norm", "eps", eps);
        return call.result(without_gil([&] { return layer_norm(in, w, b, e); }));
      },
      py::arg("x"), py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("eps") = 1e-5);

  // The running statistics are updated in place, so they must be arrays that can be written, used as they are.
  m.def(
      "batch_norm",
      [](Object x, Object weight, Object bias, Object running_mean, Object running_var, bool training, Object momentum,
         Object eps) {
        const Call call("batch_norm", {x, weight, bias, running_mean, running_var});
        auto running = [training](Object object, const char* arg) -> Tensor {
          if (object.is_none()) return {};
          const Tensor out = to_tensor(object, "batch_norm", arg, Want::kFloat, Memory::kBorrow);
          if (!training || is_tensor(object)) return out;
          // A copy made on the way in would take the update with it.
          const bool in_place = py::isinstance<py::array>(object) &&
                                static_cast<const void*>(out.raw()) == py::reinterpret_borrow<py::array>(object).data();
          if (!in_place) {
            value_error("batch_norm: ", arg,
                        " must be a contiguous float32 or float64 array in the machine's byte order, ",
                        "since training updates it in place");
          }
          if (!py::reinterpret_borrow<py::array>(object).writeable()) {
            value_error("batch_norm: ", arg, " is read-only, but training updates it in place");
          }
          return out;
        };
        const Tensor in = call.tensor(x, "x"), w = call.optional_tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        const Tensor mean = running(running_mean, "running_mean"), var = running(running_var, "running_var");
        const double mo = number_arg("batch_norm", "momentum", momentum), e = number_arg("batch_norm", "eps", eps);
        return call.result(without_gil([&] { return batch_norm(in, w, b, mean, var, training, mo, e); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("running_mean"), py::arg("running_var"),
      py::arg("training"), py::arg("momentum") = 0.1, py::arg("eps") = 1e-5);

  m.def(
      "dropout",
      [](Object x, Object p, Object generator) {
        const Call call("dropout", {x});
        const Tensor in = call.tensor(x, "x");
        const double rate = number_arg("dropout", "p", p);
        Generator* g = generator_arg("dropout", generator);
        if (g == nullptr) type_error("dropout: generator is None but must be an attendo.Generator");
        const Tensor y = without_gil([&] { return dropout(in, rate, *g); });
        return call.result(rate == 0 && !call.tracked() ? y.clone() : y);
      },
      py::arg("x"), py::arg("p"), py::arg("generator"));

  m.def(
      "residual_norm",
      [](Object x, Object r, Object weight, Object bias, Object p, Object eps, Object generator) {
        const Call call("residual_norm", {x, r, weight, bias});
        const Tensor in = call.tensor(x, "x"), branch = call.tensor(r, "r"), w = call.optional_tensor(weight, "weight"),
                     b = call.optional_tensor(bias, "bias");
        const double rate = number_arg("residual_norm", "p", p), e = number_arg("residual_norm", "eps", eps);
        Generator* g = generator_arg("residual_norm", generator);
        return call.result(without_gil([&] { return residual_norm(in, branch, w, b, rate, g, e).out; }));
      },
      py::arg("x"), py::arg("r"), py::arg("weight") = py::none(), py::arg("bias") = py::none(), py::arg("p") = 0.0,
      py::arg("eps") = 1e-5, py::arg("generator") = py::none());

  m.def(
      "reshape",
      [](Object x, Object shape) {
        const Call call("reshape", {x});
        Shape wanted;
        if (PyIndex_Check(shape.ptr()) != 0) {
          wanted.push_back(index_arg("reshape", "shape", shape));
        } else {
          if (!py::isinstance<py::sequence>(shape))
            type_error("reshape: shape must be an integer or a sequence of integers");
          if (py::len(shape) > kMaxRank)
            value_error("reshape: shape has ", py::len(shape), " axes but at most ", kMaxRank, " are supported");
          for (const py::handle dim : shape) wanted.push_back(index_arg("reshape", "shape", dim));
        }
        const Tensor y = reshape(call.tensor(x, "x", Want::kAny), wanted);
        return call.result(call.tracked() ? y : y.clone());  // an array of its own, not a view of the caller's
      },
      py::arg("x"), py::arg("shape"));
  m.def(
      "transpose",
      [](Object x, Object axes) {
        const Call call("transpose", {x});
        const Tensor y = transpose(call.tensor(x, "x", Want::kAny), axes_arg("transpose", axes));
        return call.result(call.tracked() ? y : y.clone());
      },
      py::arg("x"), py::arg("axes") = py::none());
  m.def(
      "concatenate",
      [](Object arrays, Object axis) {
        if (!py::isinstance<py::list>(arrays) && !py::isinstance<py::tuple>(arrays)) {
          type_error("concatenate: arrays must be a list or tuple of arrays");
        }
        bool tracked = false;
        for (const py::handle array : arrays) tracked = tracked || is_tensor(array);
        Tensors parts;
        for (const py::handle array : arrays) {
          parts.push_back(
              to_tensor(array, "concatenate", "arrays", Want::kFloat, tracked ? Memory::kCopy : Memory::kBorrow));
        }
        const int a = axis_arg("concatenate", axis);
        const Tensor y = without_gil([&] { return concatenate(parts, a); });
        return tracked ? py::object(py::cast(y)) : py::object(to_numpy(y, true));
      },
      py::arg("arrays"), py::arg("axis") = 0);

  m.def(
      "cross_entropy",
      [](Object logits, Object target, Object weight, Object ignore_index, Object label_smoothing,
         const std::string& reduction) {
        const Call call("cross_entropy", {logits, target});
        const Tensor z = call.tensor(logits, "logits"), t = call.tensor(target, "target", Want::kAny);
        CrossEntropyOptions options;
        if (!weight.is_none()) options.weight = call.tensor(weight, "weight").detach();
        if (!ignore_index.is_none()) options.ignore_index = index_arg("cross_entropy", "ignore_index", ignore_index);
        Reduction kind = Reduction::kMean;
        if (reduction == "sum") {
          kind = Reduction::kSum;
        } else if (reduction == "none") {
          kind = Reduction::kNone;
        } else if (reduction != "mean") {
          value_error("cross_entropy: reduction is '", reduction, "' but must be 'mean', 'sum' or 'none'");
        }
        options.label_smoothing = number_arg("cross_entropy", "label_smoothing", label_smoothing);
        return call.result(without_gil([&] { return cross_entropy(z, t, options, kind); }));
      },
      py::arg("logits"), py::arg("target"), py::arg("weight") = py::none(), py::arg("ignore_index") = py::none(),
      py::arg("label_smoothing") = 0.0, py::arg("reduction") = "mean");
}

}  // namespace attendo::bindings
