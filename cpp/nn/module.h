// Module: parameters, buffers and children with names, and what is done to a whole tree of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd.h"
#include "core/random.h"

namespace attendo::nn {

class Module {
 public:
  Module();
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // The layer as the Trainer and Sequential see it. Layers have typed calls of their own besides.
  virtual Tensors forward(const Tensors& inputs) = 0;
  virtual std::string type_name() const = 0;
  // What repr shows between the brackets.
  virtual std::string extra_repr() const { return ""; }
  // Its own parameters that to_int8 rounds: matrices that are only ever given to linear and embedding.
  virtual std::vector<std::string> matrices() const { return {}; }
  // Draws the parameters of this layer (not of its children) anew.
  virtual void reset_own(Generator&) {}

  using NamedTensor = std::pair<std::string, Tensor>;
  using NamedModule = std::pair<std::string, std::shared_ptr<Module>>;
  const std::vector<NamedTensor>& own_parameters() const { return parameters_; }
  const std::vector<NamedTensor>& own_buffers() const { return buffers_; }
  const std::vector<NamedModule>& children() const { return children_; }

  // What is registered now belongs to the class: it cannot be removed, nor replaced but by a parameter of the same shape
  // and dtype. For the whole tree.
  void seal();

  // Gives the name a new owner: registering twice replaces.
  void register_parameter(const std::string& name, const Tensor& value);
  void register_buffer(const std::string& name, const Tensor& value);
  void register_module(const std::string& name, std::shared_ptr<Module> module);
  void unregister(const std::string& name);
  // A child that what this module computes depends on: nobody else removes or replaces it.
  void attach_module(const std::string& name, std::shared_ptr<Module> module);
  void detach_module(const std::string& name);
  // The child of that name and type, or null.
  template <typename T>
  std::shared_ptr<T> child(const char* name) const {
    for (const auto& [own, module] : children_) {
      if (own == name) return std::dynamic_pointer_cast<T>(module);
    }
    return nullptr;
  }

  std::vector<NamedTensor> named_parameters() const;  // each tensor once, parents first
  std::vector<NamedTensor> named_buffers() const;
  std::vector<std::pair<std::string, Module*>> named_modules();  // this one first, as ""

  bool training() const { return training_; }
  void train(bool on);
  void zero_grad();
  void set_requires_grad(bool on);
  // The matrices of the whole tree in eight bits from here on (ops/linear_int8.h), shared ones still shared; what held them in
  // floats is let go. Such a tree computes but cannot be trained.
  void to_int8();
  bool is_int8() const;
  // Each matrix of the tree becomes what `body` makes of it, where that is defined; shared ones stay shared. `op` does so.
  using MatrixOf = std::function<Tensor(const std::string& name, const Module& owner, const Tensor& value)>;
  void replace_matrices(const char* op, const MatrixOf& body);

  // Parameters of the whole tree from one seed, in the order of registration.
  void reset_parameters(std::uint64_t seed);
  // Where this tree's random layers continue: each gets a generator of its own, made of the seed and its place in the tree.
  void seed_random(std::uint64_t seed, std::uint64_t drawn);
  Generator& generator() { return generator_; }

  std::string repr(int indent = 0) const;

 protected:
  Tensor make_parameter(const std::string& name, const Shape& shape, DType dtype);

 private:
  friend class ModeGuard;
  template <typename Visit>
  void visit(const Visit& body) const;

  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
  std::vector<NamedModule> children_;
  void check_name(const char* call, const std::string& name) const;
  bool is_sealed(const std::string& name) const;

  std::vector<std::string> sealed_;
  bool training_ = true;
  Generator generator_;
};

// x must be (…, features) in the layer's dtype; the error names the layer.
void check_input(const char* layer, const char* arg, const Tensor& x, int rank, Index features, DType dtype);

// Puts a tree in a mode, and every module of it back in its own when it goes.
class ModeGuard {
 public:
  ModeGuard(Module& root, bool training);
  ~ModeGuard();
  ModeGuard(const ModeGuard&) = delete;
  ModeGuard& operator=(const ModeGuard&) = delete;

 private:
  Module& root_;
  bool root_before_;
  std::vector<std::pair<std::shared_ptr<Module>, bool>> before_;  // kept alive: a callback may replace them
};

const Tensor& only_input(const char* layer, const Tensors& inputs);

// Uniform in ±√(1/fan_in): PyTorch's choice for Linear and Conv2d.
void init_uniform(const Tensor& x, Index fan_in, Generator& generator);
// Uniform in ±√(6/(fan_in + fan_out)): Glorot and Bengio 2010.
void init_xavier(const Tensor& x, Index fan_in, Index fan_out, Generator& generator);

}  // namespace attendo::nn
