// Between Python objects and Tensors: what is borrowed, what is copied, and the errors that name the argument.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <pybind11/trampoline_self_life_support.h>

#include <optional>
#include <string>
#include <tuple>

#include "attention/mask_rule.h"
#include "attention/scaled_dot_product.h"
#include "core/random.h"
#include "nn/layers.h"

// Named here, not included: a change to the loop must not compile every binding anew.
namespace attendo::train {
class Loss;
class Optimizer;
struct Schedule;
class Trainer;
class WeightAverage;
}  // namespace attendo::train

namespace py = pybind11;

namespace attendo::bindings {

// False for an object whose __init__ has not run (T.__new__(T), a method called before super().__init__()).
inline bool is_constructed(py::handle object) {
  auto* instance = reinterpret_cast<py::detail::instance*>(object.ptr());
  for (const auto& part : py::detail::values_and_holders(instance)) {
    if (part.value_ptr() == nullptr || !part.holder_constructed()) return false;
  }
  return true;
}

struct SharedCache;

template <typename T>
inline constexpr bool kIsBound =
    std::is_same_v<T, Tensor> || std::is_same_v<T, Generator> || std::is_same_v<T, MaskExpression> ||
    std::is_same_v<T, SharedCache> || std::is_same_v<T, train::Schedule> || std::is_same_v<T, train::Trainer> ||
    std::is_same_v<T, train::WeightAverage> || std::is_base_of_v<nn::Module, T> || std::is_base_of_v<train::Loss, T> ||
    std::is_base_of_v<train::Optimizer, T>;

}  // namespace attendo::bindings

namespace pybind11::detail {

// pybind11 makes up uninitialised memory for an object without a value; a call with one must be an error instead.
template <typename T>
class type_caster<T, std::enable_if_t<attendo::bindings::kIsBound<T>>> : public type_caster_base<T> {
 public:
  bool load(handle source, bool convert) {
    if (source && isinstance<T>(source) && !attendo::bindings::is_constructed(source)) return false;
    return type_caster_base<T>::load(source, convert);
  }
};

}  // namespace pybind11::detail

namespace attendo::bindings {

// Python's handle of a Generator: shared, since an operation may hold it while Python lets go.
using GeneratorPtr = std::shared_ptr<Generator>;

enum class Want {
  kFloat,  // lists of integers become float64
  kAny,
};
enum class Memory {
  kBorrow,  // a contiguous array of a known dtype is used in place; it must outlive the call only
  kCopy,    // the tape may keep it: later writes by the caller must not reach it
};

// Arrays, anything with __array__ or __dlpack__, lists and numbers. Integers of any width become int64.
Tensor to_tensor(py::handle object, const char* op, const char* arg, Want want, Memory memory);

bool is_tensor(py::handle object);

// A copy of an array of eight-bit numbers, which to_tensor would widen; without scales.
Tensor int8_arg(const char* op, const char* arg, py::handle object);
bool is_int8(py::handle object);

// A NumPy array on the tensor's own memory.
py::array to_numpy(const Tensor& x, bool writeable);

DType dtype_arg(const char* op, py::handle dtype);
py::dtype numpy_dtype(DType dtype);
std::optional<std::uint64_t> seed_arg(const char* op, py::handle seed);
Index index_arg(const char* op, const char* arg, py::handle value);
std::pair<Index, Index> pair_arg(const char* op, const char* arg, py::handle value);  // 3 or (3, 5)
std::vector<int> axes_arg(const char* op, py::handle axis);                           // None, 1 or (0, 2)
double number_arg(const char* op, const char* arg, py::handle value);
Generator* generator_arg(const char* op, py::handle generator);

bool has_length(py::handle x);

// What an attendo.masks.Mask stands for; nothing for anything else.
std::optional<MaskExpression> mask_expression(py::handle mask);

// mask: None, a bool array or an attendo.masks.Mask; the lengths are those of the scores.
void mask_arg(AttentionOptions& options, const char* op, py::handle mask, py::handle q_offset, Index batch, Index heads,
              Index length, Index keys);

// One call of a function that takes arrays or Tensors: Tensors in, a Tensor out; arrays in, an array out.
class Call {
 public:
  Call(const char* op, std::initializer_list<py::handle> inputs);
  Tensor tensor(py::handle object, const char* arg, Want want = Want::kFloat) const;
  Tensor optional_tensor(py::handle object, const char* arg, Want want = Want::kFloat) const;
  py::object result(const Tensor& y) const;
  bool tracked() const { return tracked_; }
  void track() { tracked_ = true; }  // something else than an input asks for Tensors

 private:
  const char* op_;
  bool tracked_ = false;
};

// What a module is called with: an array becomes a Tensor (a copy: the tape may keep it), all else stays.
py::object input_of(py::handle x, const char* op);

// True when the options hold more of a mask than causal and the lengths.
inline bool has_other_mask(const AttentionOptions& o) { return o.mask || o.left || o.right || o.rule; }

// softcap=, score_mod= and sinks= of attention.
void modification_arg(AttentionOptions& options, Call& call, const char* op, py::handle softcap,
                      const ScoreProgramPtr& score_mod, py::handle sinks);

// Runs body() without the GIL and gives back its result.
template <typename Body>
auto without_gil(const Body& body) {
  const py::gil_scoped_release release;
  return body();
}

// forward(x) of a layer with one input and one output.
template <typename T>
auto call_tensor(const char* name) {
  return [name](T& self, const py::object& x) {
    const Tensor in = to_tensor(x, name, "x", Want::kAny, Memory::kCopy);
    return without_gil([&] { return self(in); });
  };
}

// A layer or a module a Python program gave, called with Tensors.
std::shared_ptr<nn::Module> module_arg(const char* op, const char* arg, py::handle object);

Tensors tensors_of(py::handle result, const std::string& module);

// A layer or model that Python subclassed: its own forward, where it has one, is what everything in C++ calls.
template <typename Base>
class PyLayer : public Base, public py::trampoline_self_life_support {
 public:
  using Base::Base;
  Tensors forward(const Tensors& inputs) override {
    {
      const py::gil_scoped_acquire gil;
      if (const py::function override = py::get_override(static_cast<const Base*>(this), "forward")) {
        py::tuple args(inputs.size());
        for (size_t i = 0; i < inputs.size(); ++i) args[i] = py::cast(inputs[i]);
        return tensors_of(override(*args), type_name());
      }
    }
    return Base::forward(inputs);
  }
  std::string type_name() const override {
    const py::gil_scoped_acquire gil;
    return py::cast<std::string>(py::type::of(py::cast(static_cast<const Base*>(this))).attr("__name__"));
  }
};

// For every class with attributes of its own: CPython visits the dict of a Python subclass itself (from 3.11 on), and a
// second visit here would make the garbage collector count one reference twice and never free a cycle.
int traverse_module(PyObject* self, visitproc visit, void* arg);
inline py::custom_type_setup collectable() {
  return py::custom_type_setup([](PyHeapTypeObject* type) { type->ht_type.tp_traverse = traverse_module; });
}

// What a constructor's Python arguments amount to: those of C++, and the seed.
template <typename... Args>
struct Made {
  std::tuple<Args...> args;
  std::optional<std::uint64_t> seed;
};
template <typename... Args>
Made(std::tuple<Args...>, std::optional<std::uint64_t>) -> Made<Args...>;

// One constructor for the class itself and for Python's subclasses of it.
template <typename T, typename Parsed, typename... Arguments>
auto layer_init(Parsed (*parse)(Arguments...)) {
  return py::init(
      [parse](Arguments... arguments) {
        const Parsed made = parse(arguments...);
        auto layer = std::apply([](const auto&... args) { return std::make_shared<T>(args...); }, made.args);
        if (made.seed) layer->reset_parameters(*made.seed);
        if constexpr (!std::is_same_v<T, nn::Sequential> && !std::is_same_v<T, nn::ModuleList>) layer->seal();
        return layer;
      },
      [parse](Arguments... arguments) {
        const Parsed made = parse(arguments...);
        auto layer = std::apply([](const auto&... args) { return std::make_shared<PyLayer<T>>(args...); }, made.args);
        if (made.seed) layer->reset_parameters(*made.seed);
        if constexpr (!std::is_same_v<T, nn::Sequential> && !std::is_same_v<T, nn::ModuleList>) layer->seal();
        return layer;
      });
}

// Ctrl-C, between two steps of something long: throws what Python raises.
void check_signals();

void bind_core(py::module_& m);
void bind_ops(py::module_& m);
void bind_attention(py::module_& m);
void bind_module(py::module_& m);
void bind_int8(py::module_& m);
void bind_quantize(py::module_& m);
void bind_layers(py::module_& m);
void bind_transformer_layers(py::module_& m);
void bind_attention_positions(py::module_& m);
void bind_attention_score(py::module_& m);
void bind_attention_linear(py::module_& m);
void bind_attention_matrix(py::module_& m);
void bind_attention_layers(py::module_& m);
void bind_attention_scores(py::module_& m);
void bind_attention_masks(py::module_& m);
void bind_attention_cache(py::module_& m);
void bind_attention_packed(py::module_& m);
void bind_attention_stats(py::module_& m);
void bind_convolution(py::module_& m);
void bind_norms(py::module_& m);
void bind_peft(py::module_& m);
void bind_recurrent(py::module_& m);
void bind_models(py::module_& m);
void bind_transformer_xl(py::module_& m);
void bind_cross_modal_classifier(py::module_& m);
void bind_decoder_lm(py::module_& m);
void bind_text_encoder(py::module_& m);
void bind_vision_transformer(py::module_& m);
void bind_optim(py::module_& m);
void bind_transformer(py::module_& m);

}  // namespace attendo::bindings
