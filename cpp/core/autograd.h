// The tape. An operation that wants a gradient leaves a Node: which tensors went in, which came out, and a function that
// turns the gradients of the outputs into gradients of the inputs by calling `accumulate`.
//
//   z = f(x):   dL/dx += (∂z/∂x)ᵀ dL/dz,  nodes visited from the newest to the oldest
//
// Node numbers grow as operations run, so the newest-first order is a topological order and is always the same one.
//
// Gradients of gradients (core/grad.h): a function recorded as Twice::kYes is also right with the tape on, and then leaves
// on it how the gradients it hands over came about. grad_enabled() tells it which of the two is asked for: off, it may run
// any kernel; on, it calls differentiable operations only, on its inputs and d_outputs, never on data it kept itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/tensor.h"

namespace attendo {

// d_outputs: one gradient an output; undefined where nothing flowed back into that output.
using BackwardFunction = std::function<void(const Tensors& d_outputs)>;

struct Node {
  const char* name = "";
  std::uint64_t number = 0;
  std::uint64_t visited = 0;
  bool twice = false;
  Tensors inputs;
  std::vector<std::weak_ptr<TensorImpl>> outputs;
  BackwardFunction backward;
};

enum class Twice : bool { kNo, kYes };

bool grad_enabled();

// While one lives, operations of this thread leave nothing on the tape.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

bool set_grad_enabled(bool on);  // gives the previous state

// True when an operation on these inputs must leave a node.
bool needs_grad(std::initializer_list<const Tensor*> inputs);
bool needs_grad(const Tensors& inputs);

// Puts one node on the tape. `backward` must not capture an output itself (that would be a cycle): capture detach().
void record(const char* name, Tensors inputs, const Tensors& outputs, Twice twice, BackwardFunction backward);
inline void record(const char* name, Tensors inputs, const Tensors& outputs, BackwardFunction backward) {
  record(name, std::move(inputs), outputs, Twice::kNo, std::move(backward));
}

// Adds `grad` to x's gradient (does nothing when x wants none).
void accumulate(const Tensor& x, const Tensor& grad);

// Where an operation may write x's gradient itself. `add`: the buffer holds a gradient already, add to it.
struct GradTarget {
  Tensor buffer;
  bool add = false;
};
GradTarget grad_target(const Tensor& x);

// out[offset …] += x, off the tape. out owns its memory.
void add_into(const Tensor& out, Index offset, const Tensor& x);

// False while another tensor holds the same gradient (add passes one on to both inputs): adding in place would change both.
bool is_exclusive(const Tensor& grad);

// Where the two functions above leave gradients while one is set on this thread, instead of in the tensors.
class GradientSink {
 public:
  virtual void add(const Tensor& x, const Tensor& grad) = 0;
  virtual GradTarget target(const Tensor& x) = 0;

 protected:
  ~GradientSink() = default;
};
GradientSink* gradient_sink();
GradientSink* set_gradient_sink(GradientSink* sink);  // gives the previous one

// Gradients of `root` with respect to every leaf that requires one, added to leaf.grad(). `d_root` may be undefined for
// a root of one element (then it is 1).
void backward(const Tensor& root, const Tensor& d_root);

void release_node(std::shared_ptr<Node> node);

}  // namespace attendo
