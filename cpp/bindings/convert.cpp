#include "bindings/convert.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace attendo::bindings {
namespace {

py::module_ numpy() { return py::module_::import("numpy"); }

std::string type_of(py::handle object) { return py::cast<std::string>(py::type::of(object).attr("__name__")); }

std::optional<DType> known_dtype(const py::dtype& dtype) {
  if (dtype.is(py::dtype::of<float>()) || dtype.equal(py::dtype::of<float>())) return DType::kFloat32;
  if (dtype.equal(py::dtype::of<double>())) return DType::kFloat64;
  if (dtype.equal(py::dtype::of<std::int64_t>())) return DType::kInt64;
  if (dtype.equal(py::dtype::of<bool>())) return DType::kBool;
  return std::nullopt;
}

// A list, a tuple or a number: what has no dtype of its own.
bool is_plain(py::handle object) {
  return py::isinstance<py::list>(object) || py::isinstance<py::tuple>(object) || PyFloat_CheckExact(object.ptr()) ||
         PyLong_CheckExact(object.ptr());
}

py::array as_array(py::handle object, const char* op, const char* arg) {
  try {
    if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
    if (!is_plain(object) && !py::hasattr(object, "__array__") && py::hasattr(object, "__dlpack__")) {
      return numpy().attr("from_dlpack")(object);
    }
    return numpy().attr("asarray")(object);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception)) throw;  // KeyboardInterrupt and the like pass
    if (error.matches(PyExc_MemoryError)) throw;
    type_error(op, ": ", arg, " is a ", type_of(object), " that cannot be made an array: ", error.what());
  }
}

}  // namespace

bool is_tensor(py::handle object) { return py::isinstance<Tensor>(object) && is_constructed(object); }

Tensor to_tensor(py::handle object, const char* op, const char* arg, Want want, Memory memory) {
  if (is_tensor(object)) return py::cast<Tensor>(object);
  if (object.is_none()) type_error(op, ": ", arg, " is None but must be an array");
  if (py::isinstance<Tensor>(object)) type_error(op, ": ", arg, " is a Tensor that was never initialised");
  py::array array = as_array(object, op, arg);
  const char kind = array.dtype().kind();
  if (kind == 'i' || kind == 'u') {
    if (want == Want::kFloat && is_plain(object)) {
      array = array.attr("astype")("float64");
    } else if (!array.dtype().equal(py::dtype::of<std::int64_t>())) {
      if (kind == 'u' && array.itemsize() == 8 && array.size() > 0 &&
          array.attr("max")().cast<std::uint64_t>() >
              static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        value_error(op, ": ", arg, " holds ", py::str(array.attr("max")()).cast<std::string>(),
                    ", which does not fit int64");
      }
      array = array.attr("astype")("int64");
    }
  }
  if (array.dtype().attr("isnative").cast<bool>() == false)
    array = array.attr("astype")(array.dtype().attr("newbyteorder")("="));
  const std::optional<DType> dtype = known_dtype(array.dtype());
  if (!dtype) {
    if (py::hasattr(object, "_look_up")) {
      type_error(op, ": ", arg,
                 " is a symbol of a score_mod that is being traced; use NumPy's functions on it, as in "
                 "np.tanh");
    }
    type_error(op, ": ", arg, " has dtype ", py::str(array.dtype()).cast<std::string>(),
               " but must be float32, float64, an integer or bool");
  }
  if (array.ndim() > kMaxRank)
    value_error(op, ": ", arg, " has ", array.ndim(), " axes but at most ", kMaxRank, " are supported");
  Shape shape;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) shape.push_back(array.shape(i));
  const bool aligned = array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if (!(array.flags() & py::array::c_style) || !aligned) array = numpy().attr("array")(array, py::arg("order") = "C");
  if (memory == Memory::kCopy) {
    Tensor out = Tensor::empty(shape, *dtype);
    if (*dtype == DType::kBool) {  // bytes seen as bool may hold other numbers than 0 and 1
      const auto* byte = static_cast<const unsigned char*>(array.data());
      std::transform(byte, byte + out.size(), reinterpret_cast<unsigned char*>(out.raw()),
                     [](unsigned char x) { return x != 0; });
    } else {
      std::memcpy(out.raw(), array.data(), out.bytes());
    }
    return out;
  }
  // const_cast: nothing in the library writes to a borrowed array.
  auto* data = reinterpret_cast<std::byte*>(const_cast<void*>(array.data()));
  PyObject* owner = array.release().ptr();
  std::shared_ptr<std::byte> held(data, [owner](std::byte*) {
    if (Py_IsInitialized() == 0) return;
    const py::gil_scoped_acquire gil;
    Py_DECREF(owner);
  });
  return Tensor::borrow(std::move(held), shape, *dtype);
}

bool is_int8(py::handle object) {
  return py::isinstance<py::array>(object) &&
         py::reinterpret_borrow<py::array>(object).dtype().equal(py::dtype::of<std::int8_t>());
}

Tensor int8_arg(const char* op, const char* arg, py::handle object) {
  if (!is_int8(object)) type_error(op, ": ", arg, " is a ", type_of(object), " but must be an array of int8");
  const py::array array = numpy().attr("ascontiguousarray")(object);
  if (array.ndim() > kMaxRank) {
    value_error(op, ": ", arg, " has ", array.ndim(), " axes but at most ", kMaxRank, " are supported");
  }
  Shape shape;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) shape.push_back(array.shape(i));
  const Tensor out = Tensor::empty(shape, DType::kInt8);
  std::memcpy(out.raw(), array.data(), out.bytes());
  return out;
}

py::dtype numpy_dtype(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return py::dtype::of<float>();
    case DType::kFloat64: return py::dtype::of<double>();
    case DType::kInt64: return py::dtype::of<std::int64_t>();
    case DType::kBool: return py::dtype::of<bool>();
    case DType::kInt8: return py::dtype::of<std::int8_t>();
  }
  throw std::logic_error("unknown dtype");
}

py::array to_numpy(const Tensor& x, bool writeable) {
  std::vector<py::ssize_t> shape(x.shape().begin(), x.shape().end());
  const py::capsule owner(new Tensor(x.detach()), [](void* p) { delete static_cast<Tensor*>(p); });
  py::array array(numpy_dtype(x.dtype()), shape, x.raw(), owner);
  if (!writeable) py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return array;
}

DType dtype_arg(const char* op, py::handle dtype) {
  try {
    const std::optional<DType> known = known_dtype(py::dtype::from_args(py::reinterpret_borrow<py::object>(dtype)));
    if (known && is_float(*known)) return *known;
  } catch (const py::error_already_set&) {
    // The message below is the better one.
  }
  type_error(op, ": dtype is ", py::repr(dtype).cast<std::string>(), " but must be 'float32' or 'float64'");
}

Index index_arg(const char* op, const char* arg, py::handle value) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) {
    PyErr_Clear();
    type_error(op, ": ", arg, " is a ", type_of(value), " but must be an integer");
  }
  const Py_ssize_t number = PyLong_AsSsize_t(index.ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    value_error(op, ": ", arg, " is ", py::str(index).cast<std::string>(), ", which is out of range");
  }
  return number;
}

double number_arg(const char* op, const char* arg, py::handle value) {
  const double number = PyFloat_AsDouble(value.ptr());
  if (number == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    type_error(op, ": ", arg, " is a ", type_of(value), " but must be a number");
  }
  return number;
}

std::pair<Index, Index> pair_arg(const char* op, const char* arg, py::handle value) {
  if (py::isinstance<py::tuple>(value) || py::isinstance<py::list>(value)) {
    const auto items = py::reinterpret_borrow<py::sequence>(value);
    if (items.size() != 2) value_error(op, ": ", arg, " has ", items.size(), " entries but must be one number or two");
    return {index_arg(op, arg, items[0]), index_arg(op, arg, items[1])};
  }
  const Index both = index_arg(op, arg, value);
  return {both, both};
}

std::vector<int> axes_arg(const char* op, py::handle axis) {
  std::vector<int> axes;
  auto add = [&](py::handle one) {
    const Index number = index_arg(op, "axis", one);
    if (number < -kMaxRank || number >= kMaxRank)
      value_error(op, ": axis is ", number, " but must be within the array's axes");
    axes.push_back(static_cast<int>(number));
  };
  if (axis.is_none()) return axes;
  if (py::isinstance<py::tuple>(axis) || py::isinstance<py::list>(axis)) {
    for (const py::handle one : axis) add(one);
  } else {
    add(axis);
  }
  return axes;
}

std::optional<std::uint64_t> seed_arg(const char* op, py::handle seed) {
  if (seed.is_none()) return std::nullopt;
  const Index number = index_arg(op, "seed", seed);
  if (number < 0) value_error(op, ": seed is ", number, " but must be 0 or more");
  return static_cast<std::uint64_t>(number);
}

Generator* generator_arg(const char* op, py::handle generator) {
  if (generator.is_none()) return nullptr;
  if (!py::isinstance<Generator>(generator)) {
    type_error(op, ": generator is a ", type_of(generator), " but must be an attendo.Generator");
  }
  return py::cast<Generator*>(generator);
}

std::optional<MaskExpression> mask_expression(py::handle mask) {
  const py::object known = py::getattr(mask, "_expression", py::none());
  if (!py::isinstance<MaskExpression>(known)) return std::nullopt;
  return py::cast<const MaskExpression&>(known);
}

// Of an array with axes, or a list; not of a number, nor of a NumPy number.
bool has_length(py::handle x) {
  if (PyObject_Length(x.ptr()) >= 0) return true;
  PyErr_Clear();
  return false;
}

void mask_arg(AttentionOptions& options, const char* op, py::handle mask, py::handle q_offset, Index batch, Index heads,
              Index length, Index keys) {
  constexpr Index kFar = Index{1} << 40;
  if (!q_offset.is_none() && !has_length(q_offset)) {
    options.q_offset = index_arg(op, "q_offset", q_offset);
    if (options.q_offset < -kFar || options.q_offset > kFar)
      value_error(op, ": q_offset is ", options.q_offset, ", which is out of range");
  } else if (!q_offset.is_none()) {
    const Tensor each = to_tensor(q_offset, op, "q_offset", Want::kAny, Memory::kCopy);
    if (each.dtype() != DType::kInt64) {
      type_error(op, ": q_offset has dtype ", dtype_name(each.dtype()),
                 " but must be a whole number, or one for each of ", "the batch");
    }
    if (!(each.shape() == Shape{batch})) {
      value_error(op, ": q_offset has shape ", each.shape(), " but must be a number or one for each of the batch, (",
                  batch, ",)");
    }
    for (Index n = 0; n < each.size(); ++n) {
      const Index offset = each.data<std::int64_t>()[n];
      if (offset < -kFar || offset > kFar) value_error(op, ": q_offset holds ", offset, ", which is out of range");
    }
    options.q_offsets = each;
  }
  if (mask.is_none()) return;
  const std::optional<MaskExpression> known = mask_expression(mask);
  if (!known) {
    if (PyCallable_Check(mask.ptr()) != 0 && !is_tensor(mask)) {
      type_error(op, ": mask is a function; call it, as in mask=attendo.masks.causal()");
    }
    options.mask = to_tensor(mask, op, "mask", Want::kAny, Memory::kCopy);
    if (options.mask.dtype() != DType::kBool) {
      type_error(op, ": mask has dtype ", dtype_name(options.mask.dtype()),
                 " but must be bool (True = may attend); numbers to be added to the scores go to bias=");
    }
    return;
  }
  const MaskExpression& expression = *known;
  const char* kind = length == keys || !q_offset.is_none() ? nullptr : expression.counts_positions();
  if (kind != nullptr) {
    const bool causal = std::string(kind) == "causal";
    value_error(op, ": a ", kind, " mask over ", length, " queries and ", keys,
                " keys needs q_offset=, the position of the first query: q_offset=0 ",
                causal ? "lets query i see keys 0 to i" : "sets query i beside key i",
                " (both begin together), q_offset=", keys - length,
                causal ? " lets the last query see the last key" : " sets the last query beside the last key",
                " (both end together, as with a key-value cache)");
  }
  expression.lower(options, op, {batch, heads, length, keys, options.q_offset});
}

Call::Call(const char* op, std::initializer_list<py::handle> inputs) : op_(op) {
  for (const py::handle input : inputs) tracked_ = tracked_ || is_tensor(input);
}

Tensor Call::tensor(py::handle object, const char* arg, Want want) const {
  return to_tensor(object, op_, arg, want, tracked_ ? Memory::kCopy : Memory::kBorrow);
}

Tensor Call::optional_tensor(py::handle object, const char* arg, Want want) const {
  return object.is_none() ? Tensor() : tensor(object, arg, want);
}

py::object Call::result(const Tensor& y) const {
  if (tracked_) return py::cast(y);
  return to_numpy(y, true);
}

Tensors tensors_of(py::handle result, const std::string& module) {
  Tensors out;
  auto add = [&](py::handle item) {
    if (is_tensor(item)) {
      out.push_back(py::cast<Tensor>(item));
    } else if (!item.is_none()) {
      type_error(module, ".forward returned a ", type_of(item), " but must return Tensors");
    }
  };
  if (py::isinstance<py::tuple>(result) || py::isinstance<py::list>(result)) {
    for (const py::handle item : result) add(item);
  } else {
    add(result);
  }
  return out;
}

int traverse_module(PyObject* self, visitproc visit, void* arg) {
  PyTypeObject* type = Py_TYPE(self);
  // A Python subclass has CPython's traverse, which has seen to the dict before it calls this one.
  if (PY_VERSION_HEX < 0x030B0000 || type->tp_traverse == traverse_module) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject_VisitManagedDict(self, visit, arg);
#else
    if (PyObject** dict = _PyObject_GetDictPtr(self)) Py_VISIT(*dict);
#endif
  }
  Py_VISIT(type);
  return 0;
}

py::object input_of(py::handle x, const char* op) {
  if (py::isinstance<py::array>(x)) return py::cast(to_tensor(x, op, "an input", Want::kAny, Memory::kCopy));
  return py::reinterpret_borrow<py::object>(x);
}

std::shared_ptr<nn::Module> module_arg(const char* op, const char* arg, py::handle object) {
  if (!py::isinstance<nn::Module>(object)) {
    type_error(op, ": ", arg, " is a ", type_of(object), " but must be an attendo.nn.Module");
  }
  if (!is_constructed(object)) {
    type_error(op, ": ", arg, " is a ", type_of(object), " whose super().__init__() was not called");
  }
  return py::cast<std::shared_ptr<nn::Module>>(object);
}

void check_signals() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

}  // namespace attendo::bindings
