#include "core/autograd.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "core/leaf_observer.h"
#include "core/parallel.h"
#include "core/row_grad.h"

namespace attendo {
namespace {

thread_local bool grad_enabled_here = true;
thread_local GradientSink* sink_here = nullptr;
thread_local LeafObserver* observer_here = nullptr;
std::atomic<std::uint64_t> next_number{1};
std::atomic<std::uint64_t> next_visit{1};

// Leaves may be shared between graphs of several threads; one backward at a time keeps their sums whole.
std::mutex backward_mutex;

template <typename T>
void add_into(T* out, const T* x, Index n) {
  constexpr Index kGrain = 1 << 16;
  parallel_ranges(n, kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) out[i] += x[i];
  });
}

// In an optimizer's flat buffer, where it stays.
bool is_owned(const TensorImpl& impl) { return impl.grad_owner && !impl.sparse_grad; }

// A gradient of rows becomes a whole one, for what comes now has no rows.
void fill_up(TensorImpl& impl) {
  if (!impl.row_grad) return;
  impl.grad = Tensor::zeros(impl.shape, impl.dtype);
  add_rows(impl.grad, *impl.row_grad);
  impl.row_grad = nullptr;
}

// x itself, or what it is a part of.
const TensorImpl* base_of(const Tensor& x) {
  const TensorImpl* impl = x.impl().get();
  while (impl->view_of.defined()) impl = impl->view_of.impl().get();
  return impl;
}

std::vector<Node*> collect(Node* root) {
  const std::uint64_t visit = next_visit++;
  std::vector<Node*> nodes;
  std::vector<Node*> stack{root};
  root->visited = visit;
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    nodes.push_back(node);
    for (const Tensor& input : node->inputs) {
      Node* next = base_of(input)->node.get();
      if (next != nullptr && next->visited != visit) {
        next->visited = visit;
        stack.push_back(next);
      }
    }
  }
  std::sort(nodes.begin(), nodes.end(), [](const Node* a, const Node* b) { return a->number > b->number; });
  return nodes;
}

// The leaves that each node is the last to add to.
class LastUses {
 public:
  LastUses(const std::vector<Node*>& nodes, LeafObserver* observer) : observer_(observer) {
    if (observer_ == nullptr) return;
    std::unordered_set<const TensorImpl*> seen;
    std::vector<const TensorImpl*> leaves;
    of_node_.resize(nodes.size());
    for (size_t n = nodes.size(); n-- > 0;) {  // from the oldest, which runs last
      for (const Tensor& input : nodes[n]->inputs) {
        const TensorImpl* base = base_of(input);
        if (base->node || !seen.insert(base).second) continue;
        of_node_[n].push_back(base);
        leaves.push_back(base);
      }
    }
    observer_->expect(leaves);
  }
  void ran(size_t n) const {
    if (observer_ == nullptr) return;
    for (const TensorImpl* leaf : of_node_[n]) observer_->done(leaf);
  }

 private:
  LeafObserver* observer_;
  std::vector<std::vector<const TensorImpl*>> of_node_;
};

}  // namespace

void add_into(const Tensor& out, Index offset, const Tensor& x) {
  if (x.dtype() == DType::kFloat32) {
    add_into(out.data<float>() + offset, x.data<float>(), x.size());
  } else {
    add_into(out.data<double>() + offset, x.data<double>(), x.size());
  }
}

bool is_exclusive(const Tensor& grad) { return grad.impl().use_count() == 1 && grad.impl()->data.use_count() == 1; }

GradientSink* gradient_sink() { return sink_here; }
GradientSink* set_gradient_sink(GradientSink* sink) { return std::exchange(sink_here, sink); }
LeafObserver* set_leaf_observer(LeafObserver* observer) { return std::exchange(observer_here, observer); }

bool grad_enabled() { return grad_enabled_here; }

bool set_grad_enabled(bool on) {
  const bool previous = grad_enabled_here;
  grad_enabled_here = on;
  return previous;
}

NoGrad::NoGrad() : previous_(set_grad_enabled(false)) {}
NoGrad::~NoGrad() { set_grad_enabled(previous_); }

bool needs_grad(std::initializer_list<const Tensor*> inputs) {
  if (!grad_enabled_here) return false;
  return std::any_of(inputs.begin(), inputs.end(), [](const Tensor* x) { return x->defined() && x->requires_grad(); });
}

bool needs_grad(const Tensors& inputs) {
  if (!grad_enabled_here) return false;
  return std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) { return x.defined() && x.requires_grad(); });
}

void record(const char* name, Tensors inputs, const Tensors& outputs, Twice twice, BackwardFunction backward) {
  auto node = std::make_shared<Node>();
  node->name = name;
  node->twice = twice == Twice::kYes;
  node->number = next_number++;
  std::erase_if(inputs, [](const Tensor& x) { return !x.defined() || !x.requires_grad(); });
  node->inputs = std::move(inputs);
  node->backward = std::move(backward);
  node->outputs.reserve(outputs.size());
  for (const Tensor& output : outputs) {
    output.impl()->requires_grad = true;
    output.impl()->node = node;
    node->outputs.push_back(output.impl());
  }
}

void accumulate(const Tensor& x, const Tensor& grad) {
  if (!x.defined() || !x.requires_grad() || !grad.defined()) return;
  if (sink_here != nullptr) return sink_here->add(x, grad);
  TensorImpl& impl = *x.impl();
  if (impl.view_of.defined()) {
    const GradTarget base = grad_target(impl.view_of);
    if (!base.add) std::memset(base.buffer.raw(), 0, base.buffer.bytes());
    add_into(base.buffer, impl.view_offset, grad);
    return;
  }
  fill_up(impl);
  if (!impl.grad.defined()) {
    // A leaf keeps its gradient, and nobody but the function that is handing it over may hold it.
    impl.grad = impl.node || is_exclusive(grad) ? grad : grad.clone();
    return;
  }
  if (!is_owned(impl) && !is_exclusive(impl.grad)) impl.grad = impl.grad.clone();
  add_into(impl.grad, 0, grad);
}

GradTarget grad_target(const Tensor& x) {
  if (sink_here != nullptr) return sink_here->target(x);
  TensorImpl& impl = *x.impl();
  if (impl.view_of.defined()) {
    const GradTarget base = grad_target(impl.view_of);
    if (!base.add) std::memset(base.buffer.raw(), 0, base.buffer.bytes());
    std::byte* first = base.buffer.raw() + static_cast<size_t>(impl.view_offset) * dtype_size(impl.dtype);
    return {Tensor::borrow({base.buffer.impl()->data, first}, impl.shape, impl.dtype), true};
  }
  fill_up(impl);
  if (impl.grad.defined()) {
    if (!is_owned(impl) && !is_exclusive(impl.grad)) impl.grad = impl.grad.clone();
    return {impl.grad, true};
  }
  impl.grad = Tensor::empty(impl.shape, impl.dtype);
  return {impl.grad, false};
}

void backward(const Tensor& root, const Tensor& d_root) {
  if (!root.requires_grad()) value_error("backward: the tensor does not depend on anything that requires a gradient");
  Tensor seed = d_root;
  if (!seed.defined()) {
    if (root.size() != 1) {
      value_error("backward: the tensor has shape ", root.shape(), "; give gradient= or reduce it to one number first");
    }
    seed = Tensor::full(root.shape(), root.dtype(), 1.0);
  } else {
    check_shape("backward", "gradient", seed, root.shape());
    check_same_dtype("backward", "gradient", seed, "the tensor", root);
    seed = seed.detach();  // shared: nothing adds to it in place, and a leaf takes a copy
  }
  const std::lock_guard lock(backward_mutex);
  const NoGrad no_grad;
  accumulate(root, seed);
  seed = Tensor();
  if (!root.impl()->node) return;
  const std::vector<Node*> nodes = collect(root.impl()->node.get());
  auto clear = [&nodes] {
    for (Node* node : nodes) {
      for (auto& weak : node->outputs) {
        if (auto impl = weak.lock()) impl->grad = Tensor();
      }
    }
  };
  try {
    const LastUses last_uses(nodes, observer_here);
    Tensors d_outputs;
    for (size_t n = 0; n < nodes.size(); ++n) {
      Node* node = nodes[n];
      d_outputs.clear();
      bool any = false;
      for (auto& weak : node->outputs) {
        Tensor d_output;
        if (auto impl = weak.lock()) d_output = std::exchange(impl->grad, Tensor());
        any = any || d_output.defined();
        d_outputs.push_back(std::move(d_output));
      }
      if (any) node->backward(d_outputs);
      last_uses.ran(n);
    }
  } catch (...) {
    clear();
    throw;
  }
}

void release_node(std::shared_ptr<Node> node) {
  thread_local std::vector<std::shared_ptr<Node>> waiting;
  thread_local bool draining = false;
  waiting.push_back(std::move(node));
  if (draining) return;
  draining = true;
  while (!waiting.empty()) {
    std::shared_ptr<Node> last = std::move(waiting.back());
    waiting.pop_back();
    last.reset();
  }
  draining = false;
}

}  // namespace attendo
