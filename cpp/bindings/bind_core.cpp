#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "bindings/convert.h"
#include "core/no_draws.h"
#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/isa.h"
#include "kernels/peak.h"
#include "ops/activations.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace attendo::bindings {
namespace {

using Binary = Tensor (*)(const Tensor&, const Tensor&);

// An operand of an operator: a Tensor, an array, or a number of the other's dtype.
Tensor operand(const Tensor& self, const py::object& other, const char* op) {
  if (!is_tensor(other) && (PyFloat_Check(other.ptr()) || PyLong_Check(other.ptr())) && is_float(self.dtype())) {
    return Tensor::scalar(self.dtype(), number_arg(op, "the operand", other));
  }
  return to_tensor(other, op, "the operand", Want::kFloat, Memory::kCopy);
}

bool is_operand(const py::object& other) {
  return is_tensor(other) || py::isinstance<py::array>(other) || PyFloat_Check(other.ptr()) ||
         PyLong_Check(other.ptr()) || py::isinstance<py::list>(other) || py::hasattr(other, "__array__");
}

void bind_operator(py::class_<Tensor>& cls, const char* name, const char* op, Binary forward, bool reversed) {
  cls.def(
      name,
      [op, forward, reversed](const Tensor& self, const py::object& other) -> py::object {
        if (!is_operand(other)) return py::reinterpret_borrow<py::object>(Py_NotImplemented);
        const Tensor x = operand(self, other, op);
        return py::cast(without_gil([&] { return reversed ? forward(x, self) : forward(self, x); }));
      },
      py::is_operator());
}

std::vector<SliceAxis> parse_key(const Tensor& x, const py::object& key, std::vector<int>& new_axes) {
  const py::tuple items = py::isinstance<py::tuple>(key) ? py::reinterpret_borrow<py::tuple>(key) : py::make_tuple(key);
  int given = 0, ellipses = 0;
  for (const py::handle item : items) {
    if (item.is(py::ellipsis())) {
      ++ellipses;
    } else if (!item.is_none()) {
      ++given;
    }
  }
  if (ellipses > 1) value_error("slice: key has more than one Ellipsis");
  if (given > x.rank())
    value_error("slice: key has ", given, " entries but x has ", x.rank(), x.rank() == 1 ? " axis" : " axes");
  std::vector<SliceAxis> out;
  int out_axis = 0;
  auto whole = [&] {
    out.push_back({0, x.dim(static_cast<int>(out.size())), 1, false});
    ++out_axis;
  };
  for (const py::handle item : items) {
    const int axis = static_cast<int>(out.size());
    if (item.is(py::ellipsis())) {
      for (int i = 0; i < x.rank() - given; ++i) whole();
    } else if (item.is_none()) {
      new_axes.push_back(out_axis++);
    } else if (py::isinstance<py::slice>(item)) {
      Py_ssize_t start = 0, stop = 0, step = 0;
      if (PySlice_Unpack(item.ptr(), &start, &stop, &step) < 0) throw py::error_already_set();
      if (step < 1) value_error("slice: key has step ", step, " but steps must be 1 or more");
      PySlice_AdjustIndices(x.dim(axis), &start, &stop, step);
      // An empty range in a form that stays within bounds; a step beyond the end is one past it.
      stop = std::max(start, stop);
      out.push_back({start, stop, std::min<Index>(step, std::max<Index>(1, x.dim(axis))), false});
      ++out_axis;
    } else if (PyBool_Check(item.ptr()) || PyIndex_Check(item.ptr()) == 0) {
      type_error("slice: key holds a ", py::cast<std::string>(py::type::of(item).attr("__name__")),
                 " but may hold integers, slices, None and Ellipsis");
    } else {
      Index i = index_arg("slice", "key", item);
      const Index n = x.dim(axis);
      if (i < -n || i >= n) {
        PyErr_SetString(PyExc_IndexError,
                        concat("slice: index ", i, " is out of range for axis ", axis, " of length ", n).c_str());
        throw py::error_already_set();
      }
      if (i < 0) i += n;
      out.push_back({i, i + 1, 1, true});
    }
  }
  while (static_cast<int>(out.size()) < x.rank()) whole();
  return out;
}

Tensor get_item(const Tensor& x, const py::object& key) {
  std::vector<int> new_axes;
  const std::vector<SliceAxis> axes = parse_key(x, key, new_axes);
  Tensor y = slice(x, axes);
  if (new_axes.empty()) return y;
  Shape shape;
  int from = 0;
  for (int i = 0; i < y.rank() + static_cast<int>(new_axes.size()); ++i) {
    const bool added = std::find(new_axes.begin(), new_axes.end(), i) != new_axes.end();
    shape.push_back(added ? 1 : y.dim(from++));
  }
  return reshape(y, shape);
}

Shape shape_arg(const char* op, const py::args& args) {
  const py::object first = args.size() == 1 ? py::object(args[0]) : py::object(args);
  Shape shape;
  if (py::isinstance<py::tuple>(first) || py::isinstance<py::list>(first)) {
    for (const py::handle dim : first) shape.push_back(index_arg(op, "shape", dim));
  } else {
    shape.push_back(index_arg(op, "shape", first));
  }
  return shape;
}

std::string tensor_repr(const Tensor& x) {
  std::string text = py::repr(to_numpy(x, false)).cast<std::string>();
  if (text.rfind("array(", 0) == 0) text = "Tensor(" + text.substr(6);
  if (x.requires_grad())
    text.insert(text.size() - 1, x.is_leaf() ? ", requires_grad=True" : concat(", from ", x.impl()->node->name));
  return text;
}

Tensor transpose_args(const char* op, const Tensor& x, const py::args& args) {
  if (args.empty()) return transpose(x);
  const std::vector<int> axes = axes_arg(op, args.size() == 1 ? py::object(args[0]) : py::object(args));
  const bool two_of_more = axes.size() == 2 && x.rank() > 2;
  // In NumPy transpose(0, 1) leaves a matrix as it is, in PyTorch it exchanges the axes: nobody means the first.
  const bool nothing = axes.size() == 2 && x.rank() == 2 && (axes[0] + 2) % 2 == 0 && (axes[1] + 2) % 2 == 1;
  if (two_of_more || nothing) {
    value_error(op, ": axes (", axes[0], ", ", axes[1],
                nothing ? ") would leave the tensor as it is" : ") does not name all axes",
                "; to exchange the two say swapaxes(", axes[0], ", ", axes[1], ")");
  }
  return transpose(x, axes);
}

void assign(const Tensor& x, const py::object& values) {
  const Tensor y = to_tensor(values, "assign", "values", Want::kFloat, Memory::kBorrow);
  check_shape("assign", "values", y, x.shape());
  if (x.dtype() == DType::kInt8) {
    type_error("assign: the tensor is int8, whose numbers belong to their scales: use load_state_dict of its module");
  }
  const Tensor same = y.dtype() == x.dtype() ? y : y.to(x.dtype());
  std::memmove(x.raw(), same.raw(), x.bytes());
}

void bind_tensor(py::module_& m) {
  py::class_<Tensor> cls(m, "Tensor", "An array on the tape: NumPy's behaviour, and a gradient.");
  cls.def_property_readonly(
      "shape",
      [](const Tensor& x) { return py::tuple(py::cast(std::vector<Index>(x.shape().begin(), x.shape().end()))); },
      "Lengths of the axes.");
  cls.def_property_readonly("ndim", &Tensor::rank, "Number of axes.");
  cls.def_property_readonly("size", &Tensor::size, "Number of elements.");
  cls.def_property_readonly("dtype", [](const Tensor& x) { return numpy_dtype(x.dtype()); }, "NumPy dtype.");
  cls.def_property(
      "requires_grad", &Tensor::requires_grad, [](const Tensor& x, bool on) { x.set_requires_grad(on); },
      "Whether backward() leaves a gradient here.");
  cls.def_property_readonly("is_leaf", &Tensor::is_leaf, "True unless an operation made it.");
  cls.def_property(
      "grad",
      [](const Tensor& x) -> py::object {
        const Tensor grad = x.grad();
        return grad ? py::cast(grad.detach()) : py::none();
      },
      [](const Tensor& x, const py::object& g) {
        x.set_grad(g.is_none() ? Tensor() : to_tensor(g, "grad", "grad", Want::kFloat, Memory::kCopy));
      },
      "The gradient, or None.");
  cls.def_property_readonly(
      "row_grad",
      [](const Tensor& x) -> py::object {
        const RowGrad* grad = x.impl()->row_grad.get();
        if (grad == nullptr) return py::none();
        return py::make_tuple(to_numpy(grad->ids.clone(), true), grad->rows.clone());
      },
      "The ids and rows of a sparse gradient, or None.");
  cls.def("zero_grad", &Tensor::zero_grad, "Forget the gradient.");
  cls.def(
      "backward",
      [](const Tensor& x, const py::object& gradient) {
        const Tensor d =
            gradient.is_none() ? Tensor() : to_tensor(gradient, "backward", "gradient", Want::kFloat, Memory::kCopy);
        without_gil([&] {
          backward(x, d);
          return 0;
        });
      },
      py::arg("gradient") = py::none(), "Add the gradient of this tensor to every leaf it depends on.");
  cls.def("detach", &Tensor::detach, "The same data, off the tape.");
  cls.def("clone", &Tensor::clone, "A copy, off the tape.");
  cls.def(
      "numpy", [](const Tensor& x) { return to_numpy(x, false); }, "The data as a read-only NumPy array, not copied.");
  cls.def(
      "_numpy_writeable", [](const Tensor& x) { return to_numpy(x, true); }, "The data as a NumPy array, not copied.");
  cls.def(
      "item", [](const Tensor& x) -> py::object { return to_numpy(x, false).attr("item")(); },
      "The only element, as a Python number.");
  cls.def("tolist", [](const Tensor& x) { return to_numpy(x, false).attr("tolist")(); }, "Nested lists.");
  cls.def("assign", &assign, py::arg("values"), "Write new values in place, off the tape.");
  cls.def(
      "__array__",
      [](const Tensor& x, const py::object& dtype, const py::object& copy) -> py::object {
        py::object array = to_numpy(x, false);
        const bool convert = !dtype.is_none() && !py::dtype::from_args(dtype).equal(numpy_dtype(x.dtype()));
        if (convert && !copy.is_none() && !copy.cast<bool>())
          value_error("__array__: copy=False but another dtype was asked for");
        if (convert) return array.attr("astype")(dtype);
        return !copy.is_none() && copy.cast<bool>() ? array.attr("copy")() : array;
      },
      py::arg("dtype") = py::none(), py::arg("copy") = py::none());
  cls.def("__dlpack__",
          [](const Tensor& x, const py::kwargs& options) { return to_numpy(x, true).attr("__dlpack__")(**options); });
  cls.def("__dlpack_device__", [](const Tensor& x) { return to_numpy(x, true).attr("__dlpack_device__")(); });
  cls.def("__repr__", &tensor_repr);
  cls.def("__len__", [](const Tensor& x) {
    if (x.rank() == 0) type_error("len: a tensor without axes has no length");
    return x.dim(0);
  });
  cls.def("__float__", &Tensor::item);
  cls.def("__int__", [](const Tensor& x) { return py::int_(to_numpy(x, false).attr("item")()); });
  cls.def("__bool__", [](const Tensor& x) { return to_numpy(x, false).attr("__bool__")(); });
  cls.def(
      "__getitem__",
      [](const py::object& self, const py::object& key) -> py::object {
        // In a score_mod that is being traced, an index may be a formula: the look-up becomes part of it.
        const bool several = py::isinstance<py::tuple>(key);
        for (const py::handle item : several ? py::reinterpret_borrow<py::tuple>(key) : py::make_tuple(key)) {
          if (!PyLong_CheckExact(item.ptr()) && !PySlice_Check(item.ptr()) && py::hasattr(item, "_look_up")) {
            return item.attr("_look_up")(self, key);
          }
        }
        return py::cast(get_item(py::cast<const Tensor&>(self), key));
      },
      py::arg("key"));
  cls.def("__iter__", [](const Tensor& x) {
    if (x.rank() == 0) type_error("iter: a tensor without axes cannot be iterated over");
    py::list rows;
    for (Index i = 0; i < x.dim(0); ++i) rows.append(get_item(x, py::int_(i)));
    return py::iter(rows);
  });
  cls.def("__deepcopy__", [](const Tensor& x, const py::dict&) {
    Tensor y = x.clone();
    if (x.requires_grad() && x.is_leaf()) y.set_requires_grad(true);
    y.impl()->sparse_grad = x.impl()->sparse_grad;
    return y;
  });
  cls.def(
      py::pickle([](const Tensor& x) { return py::make_tuple(to_numpy(x, false), x.requires_grad() && x.is_leaf()); },
                 [](const py::tuple& state) {
                   Tensor x = to_tensor(state[0], "Tensor", "state", Want::kAny, Memory::kCopy);
                   if (state[1].cast<bool>()) x.set_requires_grad(true);
                   return x;
                 }));
  cls.attr("__hash__") = py::module_::import("builtins").attr("object").attr("__hash__");

  bind_operator(cls, "__add__", "add", add, false);
  bind_operator(cls, "__radd__", "add", add, true);
  bind_operator(cls, "__sub__", "subtract", subtract, false);
  bind_operator(cls, "__rsub__", "subtract", subtract, true);
  bind_operator(cls, "__mul__", "multiply", multiply, false);
  bind_operator(cls, "__rmul__", "multiply", multiply, true);
  bind_operator(cls, "__truediv__", "divide", divide, false);
  bind_operator(cls, "__rtruediv__", "divide", divide, true);
  bind_operator(cls, "__matmul__", "matmul", matmul, false);
  bind_operator(cls, "__rmatmul__", "matmul", matmul, true);
  cls.def("__neg__", [](const Tensor& x) { return without_gil([&] { return scale(x, -1); }); });
  cls.def(
      "__pow__", [](const Tensor& x, double p) { return without_gil([&] { return power(x, p); }); }, py::is_operator());

  using Reduction = Tensor (*)(const Tensor&, const Axes&, bool);
  const std::pair<const char*, Reduction> reductions[] = {{"sum", sum}, {"mean", mean}, {"max", max}};
  for (const auto& [name, reduce] : reductions) {
    cls.def(
        name,
        [name = name, reduce = reduce](const Tensor& x, const py::object& axis, bool keepdims) {
          const Axes axes = axis.is_none() ? Axes() : Axes(axes_arg(name, axis));
          return without_gil([&] { return reduce(x, axes, keepdims); });
        },
        py::arg("axis") = py::none(), py::arg("keepdims") = false, "As NumPy's.");
  }
  cls.def(
      "argmax", [](const Tensor& x) { return to_numpy(argmax_last(x), true); },
      "Index of the maximum along the last axis.");
  using Unary = Tensor (*)(const Tensor&);
  const std::pair<const char*, Unary> functions[] = {{"exp", exp},   {"log", log},         {"sqrt", sqrt},
                                                     {"tanh", tanh}, {"sigmoid", sigmoid}, {"relu", relu}};
  for (const auto& [name, function] : functions) {
    cls.def(
        name, [function = function](const Tensor& x) { return without_gil([&] { return function(x); }); },
        "Element by element.");
  }
  cls.def(
      "reshape", [](const Tensor& x, const py::args& shape) { return reshape(x, shape_arg("reshape", shape)); },
      "Another shape; one -1 is worked out.");
  cls.def(
      "view", [](const Tensor& x, const py::args& shape) { return reshape(x, shape_arg("view", shape)); },
      "The same as reshape.");
  cls.def(
      "transpose", [](const Tensor& x, const py::args& axes) { return transpose_args("transpose", x, axes); },
      "Axes in another order; reversed without arguments.");
  cls.def(
      "permute", [](const Tensor& x, const py::args& axes) { return transpose_args("permute", x, axes); },
      "Axes in another order.");
  cls.def(
      "swapaxes",
      [](const Tensor& x, const py::object& a, const py::object& b) {
        return swap_axes(x, axes_arg("swapaxes", a).at(0), axes_arg("swapaxes", b).at(0));
      },
      py::arg("axis1"), py::arg("axis2"), "Two axes exchanged.");
  cls.def_property_readonly("T", [](const Tensor& x) { return transpose(x); }, "Axes reversed.");
}

// Tasks of equal size, fewer than a millisecond each, so that the threads end together; the best of some tries.
double fma_gflops() {
  using Clock = std::chrono::steady_clock;
  constexpr Index kTries = 5, kTasks = 240, kRounds = 100000;
  const kernels::PeakKernel& kernel = kernels::peak_kernel();
  std::array<float, kTasks> results;
  double best = 0;
  for (Index i = 0; i < kTries; ++i) {
    const auto start = Clock::now();
    parallel_for(kTasks, [&](Index task) { results[static_cast<size_t>(task)] = kernel.run(kRounds); });
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, 1e-9 * static_cast<double>(kTasks * kRounds * kernel.flops) / seconds.count());
  }
  return best;
}

}  // namespace

void bind_core(py::module_& m) {
  if (!kernels::isa_wish_is_known()) {
    value_error("ATTENDO_ISA is '", std::getenv("ATTENDO_ISA"), "' but must be 'avx512', 'avx2', 'neon' or 'baseline'");
  }
  bind_tensor(m);
  m.def(
      "tensor",
      [](const py::object& data, const py::object& dtype, bool requires_grad) {
        Tensor x = to_tensor(data, "tensor", "data", dtype.is_none() ? Want::kAny : Want::kFloat, Memory::kCopy);
        if (is_tensor(data)) x = x.clone();
        if (!dtype.is_none()) {
          const DType wanted = dtype_arg("tensor", dtype);
          if (wanted != x.dtype()) x = x.to(wanted);
        }
        if (requires_grad) x.set_requires_grad(true);
        return x;
      },
      py::arg("data"), py::arg("dtype") = py::none(), py::arg("requires_grad") = false,
      "A new Tensor from a copy of the data.");
  m.def(
      "slice",
      [](const py::object& x, const py::object& key) {
        const Call call("slice", {x});
        return call.result(get_item(call.tensor(x, "x", Want::kAny), key));
      },
      py::arg("x"), py::arg("key"), "x[key] for integers and slices.");

  // A context manager, for models that are read from files.
  struct Undrawn {
    std::optional<Index> most;
    std::unique_ptr<NoDraws> guard;
  };
  py::class_<Undrawn>(m, "_NoDraws", "While it is entered, parameters are not drawn.")
      .def(py::init([](std::optional<Index> most) { return Undrawn{most, nullptr}; }), py::arg("most") = py::none())
      .def("__enter__", [](Undrawn& self) { self.guard = std::make_unique<NoDraws>(self.most); })
      .def("__exit__", [](Undrawn& self, const py::args&) { self.guard.reset(); });
  py::class_<Generator, GeneratorPtr>(m, "Generator", "A seed, and how many streams were drawn from it.")
      .def(py::init([](const py::object& seed) {
             return std::make_shared<Generator>(seed_arg("Generator", seed).value_or(entropy()));
           }),
           py::arg("seed") = py::none())
      .def_property_readonly("seed", &Generator::seed, "The seed.")
      .def_property_readonly("drawn", &Generator::drawn, "Streams drawn so far.")
      .def("__repr__",
           [](const Generator& g) { return concat("Generator(seed=", g.seed(), ", drawn=", g.drawn(), ")"); });

  m.def(
      "grad",
      [](const py::list& outputs, const py::list& inputs, const py::list& grad_outputs, bool create_graph) {
        auto tensors = [](const py::list& list, const char* arg) {
          Tensors out;
          for (const py::handle item : list) {
            if (!is_tensor(item)) {
              type_error("grad: ", arg, " holds a ", py::cast<std::string>(py::type::of(item).attr("__name__")),
                         " but must hold Tensors");
            }
            out.push_back(py::cast<Tensor>(item));
          }
          return out;
        };
        const Tensors y = tensors(outputs, "outputs"), x = tensors(inputs, "inputs");
        Tensors d;
        for (const py::handle item : grad_outputs) {
          d.push_back(item.is_none() ? Tensor() : to_tensor(item, "grad", "grad_outputs", Want::kFloat, Memory::kCopy));
        }
        py::list out;
        for (const Tensor& g : without_gil([&] { return grad(y, x, d, create_graph); })) {
          out.append(g ? py::cast(g) : py::none());
        }
        return out;
      },
      py::arg("outputs"), py::arg("inputs"), py::arg("grad_outputs"), py::arg("create_graph"),
      "Gradients of the inputs, or None, without touching what tensors keep.");
  m.def("set_grad_enabled", &set_grad_enabled, py::arg("on"),
        "Whether operations of this thread are put on the tape; gives the previous state.");
  m.def(
      "set_num_threads",
      [](const py::object& threads) {
        const Index n = index_arg("set_num_threads", "threads", threads);
        set_num_threads(static_cast<int>(std::clamp<Index>(n, -1, 1 << 20)));
      },
      py::arg("threads"), "Threads for parallel work.");
  m.def("get_num_threads", &num_threads, "Threads for parallel work.");
  m.def("isa", &kernels::isa_name, "The instruction set in use.");
  m.def(
      "_fma_gflops", [] { return without_gil(&fma_gflops); },
      "Fused multiply-adds on registers, on all threads, in GFLOP/s: the most this machine can do. For the benchmark.");
  m.def(
      "versions",
      [] {
        py::dict d;
        d["oneTBB"] = tbb_version();
        d["pybind11"] = concat(PYBIND11_VERSION_MAJOR, ".", PYBIND11_VERSION_MINOR, ".", PYBIND11_VERSION_PATCH);
#if defined(__clang__)
        d["compiler"] = concat("clang ", __clang_major__, ".", __clang_minor__);
#elif defined(__GNUC__)
        d["compiler"] = concat("gcc ", __GNUC__, ".", __GNUC_MINOR__);
#endif
        return d;
      },
      "Versions of what the core was built with.");
  m.def(
      "memory_stats",
      [] {
        const MemoryStats s = memory_stats();
        py::dict d;
        d["live_bytes"] = s.live_bytes;
        d["cached_bytes"] = s.cached_bytes;
        d["system_calls"] = s.system_calls;
        return d;
      },
      "Bytes handed out, bytes kept for reuse, and blocks ever asked from the system.");
  m.def("release_cached_memory", &release_cached_memory, "Give the blocks kept for reuse back to the system.");
}

}  // namespace attendo::bindings
