#include "core/grad.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace attendo {
namespace {

// ---- what the tape itself needs, as differentiable operations -----------------------------------------------------------

Tensor plus(const Tensor& a, const Tensor& b) {
  Tensor c = a.clone();
  add_into(c, 0, b);
  if (!needs_grad({&a, &b})) return c;
  record("add", {a, b}, {c}, Twice::kYes, [a, b](const Tensors& d) {
    accumulate(a, d[0]);
    accumulate(b, d[0]);
  });
  return c;
}

// Elements offset … of x as an array of `shape`; and the other way round, among zeros.
Tensor pad(const Tensor& x, Index offset, const Shape& shape);
Tensor cut(const Tensor& x, Index offset, const Shape& shape) {
  const size_t width = dtype_size(x.dtype());
  Tensor y = Tensor::empty(shape, x.dtype());
  std::memcpy(y.raw(), x.raw() + static_cast<size_t>(offset) * width, y.bytes());
  if (!needs_grad({&x})) return y;
  record("rows", {x}, {y}, Twice::kYes, [x, offset](const Tensors& d) { accumulate(x, pad(d[0], offset, x.shape())); });
  return y;
}
Tensor pad(const Tensor& x, Index offset, const Shape& shape) {
  const size_t width = dtype_size(x.dtype());
  Tensor y = Tensor::zeros(shape, x.dtype());
  std::memcpy(y.raw() + static_cast<size_t>(offset) * width, x.raw(), x.bytes());
  if (!needs_grad({&x})) return y;
  record("rows", {x}, {y}, Twice::kYes, [x, offset](const Tensors& d) { accumulate(x, cut(d[0], offset, x.shape())); });
  return y;
}

// The same data as another tensor on the tape.
Tensor alias(const Tensor& x) {
  Tensor y = x.detach();
  record("alias", {x}, {y}, Twice::kYes, [x](const Tensors& d) { accumulate(x, d[0]); });
  return y;
}

// ---- one run --------------------------------------------------------------------------------------------------------

const TensorImpl* base_of(const Tensor& x) {
  const TensorImpl* impl = x.impl().get();
  while (impl->view_of.defined()) impl = impl->view_of.impl().get();
  return impl;
}

// Gradients on their way, by tensor. Only those that lead to an input are kept.
class Run final : public GradientSink {
 public:
  Run(const Tensors& outputs, const Tensors& inputs, bool create_graph) : create_graph_(create_graph) {
    for (const Tensor& input : inputs) inputs_.insert(input.impl().get());
    // What leads to a computed input is older than it is.
    std::uint64_t oldest = ~std::uint64_t{0};
    for (const Tensor& x : inputs) {
      const Node* node = base_of(x)->node.get();
      oldest = std::min(oldest, node == nullptr ? 0 : node->number);
    }
    std::unordered_set<const Node*> seen;
    auto visit = [&](const Tensor& x) {
      const std::shared_ptr<Node>& node = base_of(x)->node;
      if (node && node->number > oldest && seen.insert(node.get()).second) nodes_.push_back(node);
    };
    for (const Tensor& output : outputs) visit(output);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const std::shared_ptr<Node> node = nodes_[i];
      for (const Tensor& input : node->inputs) visit(input);
    }
    std::sort(nodes_.begin(), nodes_.end(), [](const auto& a, const auto& b) { return a->number < b->number; });
    std::erase_if(nodes_, [this](const std::shared_ptr<Node>& node) {
      const bool leads =
          std::any_of(node->inputs.begin(), node->inputs.end(), [this](const Tensor& x) { return wants(x); });
      if (leads) leading_.insert(node.get());
      return !leads;
    });
  }

  void add(const Tensor& x, const Tensor& grad) override {
    if (!wants(x)) return;
    const TensorImpl& impl = *x.impl();
    if (impl.view_of.defined() && !inputs_.contains(&impl)) {
      if (create_graph_) return add(impl.view_of, pad(grad, impl.view_offset, impl.view_of.shape()));
      return add_into(whole(impl.view_of), impl.view_offset, grad);
    }
    Tensor& sum = gradients_[&impl];
    if (!sum) {
      sum = grad;
    } else if (create_graph_) {
      sum = plus(sum, grad);
    } else {
      if (!is_exclusive(sum)) sum = sum.clone();
      add_into(sum, 0, grad);
    }
  }

  GradTarget target(const Tensor& x) override {
    const TensorImpl& impl = *x.impl();
    if (!wants(x)) return {Tensor::empty(impl.shape, impl.dtype), false};
    if (impl.view_of.defined() && !inputs_.contains(&impl)) {
      const Tensor base = whole(impl.view_of);
      std::byte* first = base.raw() + static_cast<size_t>(impl.view_offset) * dtype_size(impl.dtype);
      return {Tensor::borrow({base.impl()->data, first}, impl.shape, impl.dtype), true};
    }
    Tensor& sum = gradients_[&impl];
    const bool there = sum.defined();
    if (!there) sum = Tensor::empty(impl.shape, impl.dtype);
    if (there && !is_exclusive(sum)) sum = sum.clone();
    return {sum, there};
  }

  Tensors results(const Tensors& outputs, const Tensors& inputs, const Tensors& d_outputs) {
    for (size_t i = 0; i < outputs.size(); ++i) add(outputs[i], d_outputs[i]);
    Tensors d;
    for (size_t n = nodes_.size(); n-- > 0;) {
      const Node& node = *nodes_[n];
      d.clear();
      bool any = false;
      for (const auto& weak : node.outputs) {
        const auto impl = weak.lock();
        d.push_back(impl ? take(impl.get()) : Tensor());
        any = any || d.back().defined();
      }
      if (!any) continue;
      if (create_graph_ && !node.twice) {
        value_error("grad: gradients of gradients are not there for ", node.name,
                    "; create_graph=False gives the first ones");
      }
      node.backward(d);
    }
    Tensors found;
    for (const Tensor& input : inputs) {
      const auto at = gradients_.find(input.impl().get());
      found.push_back(at == gradients_.end() ? Tensor() : at->second);
    }
    return found;
  }

 private:
  bool wants(const Tensor& x) const {
    if (inputs_.contains(x.impl().get())) return true;
    const TensorImpl* base = base_of(x);
    return inputs_.contains(base) || leading_.contains(base->node.get());
  }

  // The sum for a tensor of which parts get gradients.
  Tensor whole(const Tensor& x) {
    const GradTarget all = target(x);
    if (!all.add) std::memset(all.buffer.raw(), 0, all.buffer.bytes());
    return all.buffer;
  }

  // An input's gradient stays where it is: it is asked for at the end.
  Tensor take(const TensorImpl* impl) {
    const auto at = gradients_.find(impl);
    if (at == gradients_.end()) return {};
    if (inputs_.contains(impl)) return at->second;
    Tensor sum = std::move(at->second);
    gradients_.erase(at);
    return sum;
  }

  bool create_graph_;
  std::unordered_set<const TensorImpl*> inputs_;
  std::vector<std::shared_ptr<Node>> nodes_;  // those that lead to an input, oldest first
  std::unordered_set<const Node*> leading_;
  std::unordered_map<const TensorImpl*, Tensor> gradients_;
};

// The tape and the sink of this thread, put back at the end.
class Settings {
 public:
  Settings(bool tape, GradientSink* sink) : tape_(set_grad_enabled(tape)), sink_(set_gradient_sink(sink)) {}
  ~Settings() {
    set_gradient_sink(sink_);
    set_grad_enabled(tape_);
  }
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

 private:
  bool tape_;
  GradientSink* sink_;
};

Tensors run(const Tensors& outputs, const Tensors& inputs, const Tensors& d_outputs, bool create_graph) {
  Run one(outputs, inputs, create_graph);
  const Settings settings(create_graph, &one);
  return one.results(outputs, inputs, d_outputs);
}

}  // namespace

Tensors grad(const Tensors& outputs, const Tensors& inputs, const Tensors& d_outputs, bool create_graph) {
  if (d_outputs.size() != outputs.size()) {
    value_error("grad: grad_outputs has ", d_outputs.size(), " entries but outputs has ", outputs.size());
  }
  Tensors seeds;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Tensor &y = outputs[i], &d = d_outputs[i];
    if (!y.requires_grad()) value_error("grad: outputs[", i, "] does not depend on anything that requires a gradient");
    if (d.defined()) {
      const std::string name = concat("grad_outputs[", i, "]");
      check_shape("grad", name.c_str(), d, y.shape());
      check_same_dtype("grad", name.c_str(), d, "its output", y);
      seeds.push_back(create_graph ? d : d.detach());
    } else if (y.size() == 1) {
      seeds.push_back(Tensor::full(y.shape(), y.dtype(), 1.0));
    } else {
      value_error("grad: outputs[", i, "] has shape ", y.shape(),
                  "; give grad_outputs= or reduce it to one number first");
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) value_error("grad: inputs[", i, "] does not require a gradient");
  }
  Tensors found = run(outputs, inputs, seeds, create_graph);
  seeds.clear();
  if (create_graph) return found;
  // Each result is its own, whoever else was handed the same gradient.
  for (Tensor& g : found) {
    if (g && !is_exclusive(g)) g = g.clone();
  }
  return found;
}

void accumulate_through(const Tensors& inputs, const Tensors& d_outputs,
                        const std::function<Tensors(const Tensors& inputs)>& expansion) {
  // Aliases: one input may be computed from another, and what is wanted here does not go through that.
  Tensors arguments = inputs, tracked, sources;
  for (Tensor& x : arguments) {
    if (!x || !x.requires_grad()) continue;
    sources.push_back(x);
    tracked.push_back(x = alias(x));
  }
  const Tensors results = expansion(arguments);
  Tensors outputs, seeds;
  for (size_t i = 0; i < d_outputs.size(); ++i) {
    if (!d_outputs[i] || !results[i].requires_grad()) continue;
    outputs.push_back(results[i]);
    seeds.push_back(d_outputs[i]);
  }
  const Tensors found = run(outputs, tracked, seeds, true);
  for (size_t i = 0; i < sources.size(); ++i) accumulate(sources[i], found[i]);
}

}  // namespace attendo
