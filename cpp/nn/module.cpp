#include "nn/module.h"

#include "core/no_draws.h"

#include <atomic>
#include <cmath>
#include <map>
#include <set>

#include "ops/linear_int8.h"

namespace attendo::nn {
namespace {

// One question to the operating system a process; every module after that mixes in a number of its own.
std::uint64_t fresh_seed() {
  static const std::uint64_t base = entropy();
  static std::atomic<std::uint64_t> count{0};
  return mix_seed(base, count++);
}

template <typename List>
auto find(List& list, const std::string& name) {
  return std::find_if(list.begin(), list.end(), [&](const auto& entry) { return entry.first == name; });
}

template <typename List>
void forget(List& list, const std::string& name) {
  std::erase_if(list, [&](const auto& entry) { return entry.first == name; });
}

template <typename List, typename Value>
void replace(List& list, const std::string& name, Value&& value) {
  const auto found = find(list, name);
  if (found != list.end()) {
    found->second = std::forward<Value>(value);
  } else {
    list.emplace_back(name, std::forward<Value>(value));
  }
}

}  // namespace

Module::Module() : generator_(fresh_seed()) {}

void Module::seal() {
  for (auto& [path, module] : named_modules()) {
    module->sealed_.clear();
    for (const auto& [name, value] : module->parameters_) module->sealed_.push_back(name);
    for (const auto& [name, value] : module->buffers_) module->sealed_.push_back(name);
    for (const auto& [name, value] : module->children_) module->sealed_.push_back(name);
  }
}

bool Module::is_sealed(const std::string& name) const {
  return std::find(sealed_.begin(), sealed_.end(), name) != sealed_.end();
}

void Module::check_name(const char* call, const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    value_error(call, ": the name '", name, "' is empty or holds a dot, which stands between the names of modules");
  }
  if (is_sealed(name)) {
    value_error(type_name(), ".", name,
                " is part of the class and cannot be replaced or removed; give it new values with assign or ",
                "load_state_dict, or write a Module with the layers you want");
  }
}

// A name belongs to one list; within it a new value takes the old one's place, for the order of registration is the
// order of everything.
void Module::register_parameter(const std::string& name, const Tensor& value) {
  const auto old = find(parameters_, name);
  if (is_sealed(name) && old != parameters_.end()) {
    check_shape(type_name().c_str(), name.c_str(), value, old->second.shape());
    check_same_dtype(type_name().c_str(), name.c_str(), value, "the layer", old->second);
    value.set_low_rank(old->second.low_rank());
  } else {
    check_name("register_parameter", name);
  }
  forget(children_, name);
  forget(buffers_, name);
  replace(parameters_, name, value);
}

void Module::register_buffer(const std::string& name, const Tensor& value) {
  check_name("register_buffer", name);
  forget(children_, name);
  forget(parameters_, name);
  replace(buffers_, name, value);
}

void Module::register_module(const std::string& name, std::shared_ptr<Module> module) {
  if (!module) value_error("register_module: ", name, " is None but must be a Module");
  check_name("register_module", name);
  for (const auto& [path, inner] : module->named_modules()) {
    if (inner == this) value_error("register_module: ", name, " would make the module part of itself");
  }
  forget(parameters_, name);
  forget(buffers_, name);
  replace(children_, name, std::move(module));
}

void Module::unregister(const std::string& name) {
  if (is_sealed(name)) check_name("unregister", name);
  forget(children_, name);
  forget(parameters_, name);
  forget(buffers_, name);
}

void Module::attach_module(const std::string& name, std::shared_ptr<Module> module) {
  for (auto& [path, inner] : module->named_modules()) inner->training_ = training_;
  register_module(name, std::move(module));
  sealed_.push_back(name);
}

void Module::detach_module(const std::string& name) {
  std::erase(sealed_, name);
  unregister(name);
}

Tensor Module::make_parameter(const std::string& name, const Shape& shape, DType dtype) {
  Index numbers = 1;
  for (const Index n : shape) numbers = n > 0 && numbers > kMaxElements / n ? kMaxElements : numbers * n;
  NoDraws::count(numbers);
  if (!is_float(dtype)) type_error(type_name(), ": dtype is ", dtype_name(dtype), " but must be float32 or float64");
  Tensor value = Tensor::zeros(shape, dtype);
  value.set_requires_grad(true);
  parameters_.emplace_back(name, value);
  return value;
}

// Parents first, children in the order of registration; with a stack of its own, since a tree may be deep.
template <typename Visit>
void Module::visit(const Visit& body) const {
  std::vector<std::pair<std::string, const Module*>> stack{{"", this}};
  while (!stack.empty()) {
    const auto [prefix, module] = std::move(stack.back());
    stack.pop_back();
    body(prefix, *module);
    for (auto child = module->children_.rbegin(); child != module->children_.rend(); ++child) {
      stack.emplace_back(prefix + child->first + ".", child->second.get());
    }
  }
}

std::vector<Module::NamedTensor> Module::named_parameters() const {
  std::vector<NamedTensor> out;
  std::set<const TensorImpl*> seen;
  visit([&](const std::string& prefix, const Module& module) {
    for (const auto& [name, value] : module.parameters_) {
      if (seen.insert(value.impl().get()).second) out.emplace_back(prefix + name, value);
    }
  });
  return out;
}

std::vector<Module::NamedTensor> Module::named_buffers() const {
  std::vector<NamedTensor> out;
  visit([&](const std::string& prefix, const Module& module) {
    for (const auto& [name, value] : module.buffers_) out.emplace_back(prefix + name, value);
  });
  return out;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> out;
  std::set<const Module*> seen;
  std::vector<std::pair<std::string, Module*>> stack{{"", this}};
  while (!stack.empty()) {
    auto [name, module] = std::move(stack.back());
    stack.pop_back();
    if (!seen.insert(module).second) continue;
    for (auto child = module->children_.rbegin(); child != module->children_.rend(); ++child) {
      stack.emplace_back(name.empty() ? child->first : name + "." + child->first, child->second.get());
    }
    out.emplace_back(std::move(name), module);
  }
  return out;
}

void Module::train(bool on) {
  for (auto& [name, module] : named_modules()) module->training_ = on;
}

void Module::zero_grad() {
  for (const auto& [name, value] : named_parameters()) value.zero_grad();
}

void Module::set_requires_grad(bool on) {
  for (const auto& [name, value] : named_parameters()) value.set_requires_grad(on);
}

void Module::replace_matrices(const char* op, const MatrixOf& body) {
  std::map<const TensorImpl*, Tensor> made;
  std::vector<std::pair<Tensor*, Tensor>> places;  // all are made before any is put in its place
  for (auto& [path, module] : named_modules()) {
    for (const std::string& parameter : module->matrices()) {
      Tensor& value = find(module->parameters_, parameter)->second;
      const std::string name = path.empty() ? parameter : path + "." + parameter;
      auto [entry, is_new] = made.try_emplace(value.impl().get());
      if (is_new) entry->second = body(name, *module, value);
      if (!entry->second) continue;
      if (value.impl()->grad_owner) {
        value_error(op, ": ", name, " is held by an optimizer; let that go first: what is int8 cannot be trained");
      }
      places.emplace_back(&value, entry->second);
    }
  }
  for (auto& [place, matrix] : places) *place = matrix;
}

void Module::to_int8() {
  replace_matrices("to_int8", [](const std::string& name, const Module&, const Tensor& value) {
    if (value.impl()->products) {
      value_error("to_int8: ", name,
                  " is quantized, its products are of whole numbers: load the model in floats again");
    }
    if (value.dtype() == DType::kInt8) return Tensor();
    const Tensor matrix = quantize_int8(value);
    matrix.set_low_rank(value.low_rank());
    return matrix;
  });
}

bool Module::is_int8() const {
  bool found = false;
  visit([&](const std::string&, const Module& module) {
    for (const auto& [name, value] : module.parameters_) found = found || value.dtype() == DType::kInt8;
  });
  return found;
}

void Module::reset_parameters(std::uint64_t seed) {
  if (is_int8()) value_error("reset_parameters: the module is int8, and what is int8 cannot be drawn anew");
  Generator generator(seed);
  for (auto& [name, module] : named_modules()) module->reset_own(generator);
}

void Module::seed_random(std::uint64_t seed, std::uint64_t drawn) {
  std::uint64_t place = 0;
  for (auto& [name, module] : named_modules()) module->generator_.set_state(mix_seed(seed, place++), drawn);
}

std::string Module::repr(int indent) const {
  std::string text = type_name() + "(" + extra_repr();
  if (children_.empty()) return text + ")";
  constexpr int kDeepest = 200;
  if (indent > kDeepest) return text + "...)";
  const std::string pad(static_cast<size_t>(indent + 2), ' ');
  for (const auto& [name, child] : children_) text += "\n" + pad + "(" + name + "): " + child->repr(indent + 2);
  return text + "\n" + std::string(static_cast<size_t>(indent), ' ') + ")";
}

ModeGuard::ModeGuard(Module& root, bool training) : root_(root), root_before_(root.training_) {
  root.visit([&](const std::string&, const Module& module) {
    for (const auto& [name, child] : module.children_) before_.emplace_back(child, child->training_);
  });
  root.train(training);
}

ModeGuard::~ModeGuard() {
  root_.training_ = root_before_;
  for (auto& [module, training] : before_) module->training_ = training;
}

void check_input(const char* layer, const char* arg, const Tensor& x, int rank, Index features, DType dtype) {
  check_float(layer, arg, x);
  if (rank > 0) {
    check_rank(layer, arg, x, rank, "(batch, length, d_model)");
  } else {
    check_min_rank(layer, arg, x, 1, "(..., features)");
  }
  if (x.dim(-1) != features) value_error(layer, ": ", arg, " has ", x.dim(-1), " features but must have ", features);
  if (x.dtype() != dtype) {
    type_error(layer, ": ", arg, " has dtype ", dtype_name(x.dtype()), " but the layer is ", dtype_name(dtype),
               ": convert it, as with x.astype(\"", dtype_name(dtype), "\"), or build the layer with dtype=\"",
               dtype_name(x.dtype()), "\"");
  }
}

const Tensor& only_input(const char* layer, const Tensors& inputs) {
  if (inputs.size() != 1) value_error(layer, ": ", inputs.size(), " inputs were given but it takes one");
  return inputs[0];
}

void init_uniform(const Tensor& x, Index fan_in, Generator& generator) {
  const double bound = fan_in > 0 ? 1.0 / std::sqrt(static_cast<double>(fan_in)) : 0.0;
  fill_uniform(x, -bound, bound, generator);
}

void init_xavier(const Tensor& x, Index fan_in, Index fan_out, Generator& generator) {
  const double bound = std::sqrt(6.0 / static_cast<double>(std::max<Index>(1, fan_in + fan_out)));
  fill_uniform(x, -bound, bound, generator);
}

}  // namespace attendo::nn
