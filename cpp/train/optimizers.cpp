// Optimizers; g: gradient, w: weight, η: learning rate, λ: weight decay, t = 1, 2, …
//
//   SGD     g' = g + λ w;   u = μ u + g' (u = g' at t = 1);   w -= η u      Nesterov: w -= η (g' + μ u)
//   Adam    g' = g + λ w;   m = β₁ m + (1-β₁) g';   v = β₂ v + (1-β₂) g'²
//           w -= η/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)
//   AdamW   w *= 1 - η λ;   then Adam with g' = g
//   clip    g *= min(1, c / (‖g‖ + 10⁻⁶))
//
// Where the gradient is one of rows, the rows it has are stepped, m and v with them; the others stay as they are.
//
// Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; Sutskever et al. 2013.   Articles 000, 002, 004.
#include "train/optimizers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "core/parallel.h"
#include "kernels/rows.h"

namespace attendo::train {
namespace {

constexpr Index kGrain = 1 << 15;

void check_fraction(const char* optimizer, const char* name, double value) {
  if (!(value >= 0 && value < 1))
    value_error(optimizer, ": ", name, " is ", value, " but must be 0 or more and below 1");
}

void check_not_negative(const char* optimizer, const char* name, double value) {
  if (!(value >= 0)) value_error(optimizer, ": ", name, " is ", value, " but must be 0 or more");
}

void check_no_sparse(const char* optimizer, const char* name, double value) {
  if (value != 0) {
    value_error(optimizer, ": ", name, " is ", value,
                " but must be 0 where a layer has sparse=True: it moves all rows in every step");
  }
}

// Σ g², in doubles: the square of a gradient may be out of float's range.
double sum_of_squares(const Tensor& grad) {
  double square = 0;
  dispatch_float("grad_norm", "grads", grad, [&](auto zero) {
    using T = decltype(zero);
    const T* g = grad.data<T>();
    const Index n = grad.size(), parts = (n + kGrain - 1) / kGrain;
    Scratch<double> partial(static_cast<size_t>(parts));
    parallel_for(parts, [&](Index part) {
      double total = 0;
      for (Index i = part * kGrain; i < std::min(n, (part + 1) * kGrain); ++i) {
        total += static_cast<double>(g[i]) * static_cast<double>(g[i]);
      }
      partial.get()[part] = total;
    });
    for (Index part = 0; part < parts; ++part) square += partial.get()[part];
  });
  return square;
}

// All rows of a table that got a whole gradient.
RowGrad all_rows(const Tensor& grad) {
  const Tensor ids = Tensor::empty({grad.dim(0)}, DType::kInt64);
  std::iota(ids.data<std::int64_t>(), ids.data<std::int64_t>() + ids.size(), std::int64_t{0});
  return {ids, grad};
}

}  // namespace

void Optimizer::attach(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> wanted;
  std::set<const TensorImpl*> seen;
  for (const Tensor& p : parameters) {
    if (p.dtype() == DType::kInt8) {
      value_error("Optimizer: parameters holds one of shape ", p.shape(),
                  " that is int8, which cannot be trained: train before to_int8()");
    }
    if (p.requires_grad() && seen.insert(p.impl().get()).second) wanted.push_back(p);
  }
  std::set<const TensorImpl*> held;
  for (const Flat& flat : flats_) {
    for (const auto& [p, offset] : flat.parameters) held.insert(p.impl().get());
  }
  for (const Table& table : tables_) held.insert(table.weight.impl().get());
  if (attached()) {
    if (!*owner_) value_error("optimizer: another optimizer has taken over its parameters; make a new one");
    if (!std::includes(held.begin(), held.end(), seen.begin(), seen.end()))
      value_error("optimizer: it already steps other parameters; make a new one for these");
    return;
  }
  if (wanted.empty())
    value_error(
        "optimizer: there is no parameter that requires a gradient (layers in a plain list are not seen: use "
        "ModuleList)");
  for (const Tensor& p : wanted) {
    if (!p.is_leaf())
      value_error("optimizer: a tensor that was computed cannot be stepped; attach the leaves it came from");
  }
  for (const Tensor& p : wanted) {
    if (p.impl()->sparse_grad) check_sparse();
  }
  for (const Tensor& p : wanted) {
    if (p.impl()->grad_owner) *p.impl()->grad_owner = false;
  }
  for (const Tensor& p : wanted) {
    if (p.impl()->sparse_grad) attach_table(p);
  }
  std::erase_if(wanted, [](const Tensor& p) { return p.impl()->sparse_grad; });
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) attach_flat(wanted, dtype);
}

void Optimizer::attach_table(const Tensor& p) {
  Table table{p, {}};
  for (int slot = 0; slot < slot_count(); ++slot) table.slots.push_back(Tensor::zeros(p.shape(), p.dtype()));
  p.impl()->grad_owner = owner_;
  tables_.push_back(std::move(table));
}

void Optimizer::attach_flat(const std::vector<Tensor>& parameters, DType dtype) {
  Flat flat;
  Index total = 0;
  // Each parameter begins at a whole vector.
  const Index unit = static_cast<Index>(kAlignment / dtype_size(dtype));
  auto padded = [unit](Index n) { return (n + unit - 1) / unit * unit; };
  for (const Tensor& p : parameters) {
    if (p.dtype() == dtype) total += padded(p.size());
  }
  if (total == 0) return;
  flat.weights = Tensor::zeros({total}, dtype);
  flat.grads = Tensor::zeros({total}, dtype);
  for (int slot = 0; slot < slot_count(); ++slot) flat.slots.push_back(Tensor::zeros({total}, dtype));
  Index offset = 0;
  for (const Tensor& p : parameters) {
    if (p.dtype() != dtype) continue;
    const Tensor w = flat.weights.rows(offset, offset + p.size()).view(p.shape());
    const Tensor g = flat.grads.rows(offset, offset + p.size()).view(p.shape());
    std::memcpy(w.raw(), p.raw(), p.bytes());
    if (p.grad()) std::memcpy(g.raw(), p.grad().raw(), p.bytes());
    p.impl()->data = w.impl()->data;
    p.impl()->row_grad = nullptr;
    p.impl()->grad = g;
    p.impl()->grad_owner = owner_;
    flat.parameters.emplace_back(p, offset);
    offset += padded(p.size());
  }
  flats_.push_back(std::move(flat));
}

Optimizer::~Optimizer() {
  for (const Flat& flat : flats_) {
    for (const auto& [p, offset] : flat.parameters) {
      if (p.impl()->grad_owner == owner_) p.impl()->grad_owner = nullptr;
    }
  }
  for (const Table& table : tables_) {
    if (table.weight.impl()->grad_owner == owner_) table.weight.impl()->grad_owner = nullptr;
  }
}

void Optimizer::zero_grad() {
  for (Flat& flat : flats_) std::memset(flat.grads.raw(), 0, flat.grads.bytes());
  for (Table& table : tables_) {
    if (table.weight.impl()->grad_owner == owner_) table.weight.zero_grad();
  }
}

double Optimizer::grad_norm() const {
  double square = 0;
  for (const Flat& flat : flats_) square += sum_of_squares(flat.grads);
  for (const Table& table : tables_) {
    const TensorImpl& impl = *table.weight.impl();
    if (impl.row_grad) square += sum_of_squares(impl.row_grad->rows);
    if (impl.grad) square += sum_of_squares(impl.grad);
  }
  return std::sqrt(square);
}

void Optimizer::step(double clip_norm) {
  if (!attached()) value_error("optimizer: it steps no parameters yet; call attach(model) first");
  if (!*owner_) value_error("optimizer: another optimizer has taken over its parameters; step that one");
  double grad_scale = 1;
  if (clip_norm > 0) grad_scale = std::min(1.0, clip_norm / (grad_norm() + 1e-6));
  const std::int64_t t = steps_ + 1;
  for (Flat& flat : flats_) {
    // Momentum and decay would move a parameter that was frozen after it was attached: it gets its values back.
    std::vector<std::pair<Tensor, Tensor>> frozen;
    for (const auto& [p, offset] : flat.parameters) {
      if (!p.requires_grad()) frozen.emplace_back(p, p.clone());
    }
    update(flat, t, schedule_(t), grad_scale);
    for (const auto& [p, before] : frozen) std::memcpy(p.raw(), before.raw(), p.bytes());
  }
  for (Table& table : tables_) {
    const TensorImpl& impl = *table.weight.impl();
    if (!impl.requires_grad) continue;
    if (impl.row_grad) update_rows(table, *impl.row_grad, t, schedule_(t), grad_scale);
    if (impl.grad) update_rows(table, all_rows(impl.grad), t, schedule_(t), grad_scale);
  }
  steps_ = t;
}

std::vector<Optimizer::Block> Optimizer::blocks() const {
  std::vector<Block> out;
  for (const Flat& flat : flats_) out.push_back({flat.weights, flat.grads, flat.parameters});
  return out;
}

std::vector<Tensor> Optimizer::tables() const {
  std::vector<Tensor> out;
  for (const Table& table : tables_) out.push_back(table.weight);
  return out;
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, Tensor>> out;
  for (const Flat& flat : flats_) {
    for (int slot = 0; slot < slot_count(); ++slot) {
      out.emplace_back(concat(slot_name(slot), ".", dtype_name(flat.weights.dtype())),
                       flat.slots[static_cast<size_t>(slot)]);
    }
  }
  for (size_t i = 0; i < tables_.size(); ++i) {
    for (int slot = 0; slot < slot_count(); ++slot) {
      const Tensor& value = tables_[i].slots[static_cast<size_t>(slot)];
      out.emplace_back(concat(slot_name(slot), ".table", i), value.view({value.size()}));
    }
  }
  return out;
}

Sgd::Sgd(const Schedule& schedule, double momentum, bool nesterov, double weight_decay)
    : Optimizer(schedule), momentum_(momentum), nesterov_(nesterov), weight_decay_(weight_decay) {
  check_fraction("SGD", "momentum", momentum);
  check_not_negative("SGD", "weight_decay", weight_decay);
  if (nesterov && momentum == 0) value_error("SGD: nesterov needs momentum above 0");
}

void Sgd::update(Flat& flat, std::int64_t t, double lr, double grad_scale) {
  dispatch_float("SGD", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    T* w = flat.weights.data<T>();
    const T* g = flat.grads.data<T>();
    T* u = momentum_ > 0 ? flat.slots[0].data<T>() : nullptr;
    const T rate = static_cast<T>(lr), mu = static_cast<T>(momentum_), decay = static_cast<T>(weight_decay_);
    const T factor = static_cast<T>(grad_scale);
    parallel_ranges(flat.weights.size(), kGrain, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        T d = g[i] * factor + decay * w[i];
        if (u != nullptr) {
          u[i] = t == 1 ? d : mu * u[i] + d;
          d = nesterov_ ? d + mu * u[i] : u[i];
        }
        w[i] -= rate * d;
      }
    });
  });
}

void Sgd::check_sparse() const {
  check_no_sparse("SGD", "momentum", momentum_);
  check_no_sparse("SGD", "weight_decay", weight_decay_);
}

void Sgd::update_rows(Table& table, const RowGrad& grad, std::int64_t, double lr, double grad_scale) {
  dispatch_float("SGD", "weights", table.weight, [&](auto zero) {
    using T = decltype(zero);
    T* w = table.weight.data<T>();
    const T* g = grad.rows.data<T>();
    const std::int64_t* ids = grad.ids.data<std::int64_t>();
    const Index d = grad.rows.dim(1);
    const T rate = static_cast<T>(lr), factor = static_cast<T>(grad_scale);
    parallel_ranges(grad.ids.size(), rows_per_task(d), [=](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        T* row = w + ids[r] * d;
        for (Index c = 0; c < d; ++c) row[c] -= rate * (g[r * d + c] * factor);
      }
    });
  });
}

std::string Sgd::repr() const {
  return concat("SGD(lr=", schedule().repr(), ", momentum=", momentum_, ", nesterov=", nesterov_ ? "True" : "False",
                ", weight_decay=", weight_decay_, ")");
}

Adam::Adam(const Schedule& schedule, double beta1, double beta2, double eps, double weight_decay, bool decoupled)
    : Optimizer(schedule), beta1_(beta1), beta2_(beta2), eps_(eps), weight_decay_(weight_decay), decoupled_(decoupled) {
  const char* name = decoupled ? "AdamW" : "Adam";
  check_fraction(name, "betas[0]", beta1);
  check_fraction(name, "betas[1]", beta2);
  check_not_negative(name, "eps", eps);
  check_not_negative(name, "weight_decay", weight_decay);
}

void Adam::update(Flat& flat, std::int64_t t, double lr, double grad_scale) {
  const double correction1 = 1 - std::pow(beta1_, static_cast<double>(t));
  const double correction2 = 1 - std::pow(beta2_, static_cast<double>(t));
  dispatch_float("Adam", "weights", flat.weights, [&](auto zero) {
    using T = decltype(zero);
    T* w = flat.weights.data<T>();
    const T* g = flat.grads.data<T>();
    T* m = flat.slots[0].data<T>();
    T* v = flat.slots[1].data<T>();
    parallel_ranges(flat.weights.size(), kGrain, [&](Index begin, Index end) {
      kernels::row_kernels<T>().adam(
          w + begin, m + begin, v + begin, g + begin, static_cast<T>(lr / correction1), static_cast<T>(beta1_),
          static_cast<T>(beta2_), static_cast<T>(eps_), static_cast<T>(1 / std::sqrt(correction2)),
          static_cast<T>(decoupled_ ? 0 : weight_decay_), static_cast<T>(decoupled_ ? lr * weight_decay_ : 0),
          static_cast<T>(grad_scale), end - begin);
    });
  });
}

void Adam::check_sparse() const { check_no_sparse(decoupled_ ? "AdamW" : "Adam", "weight_decay", weight_decay_); }

// Moments decay in the steps that have a gradient for the row; t counts all steps. Every row in every step: Adam.
void Adam::update_rows(Table& table, const RowGrad& grad, std::int64_t t, double lr, double grad_scale) {
  const double correction1 = 1 - std::pow(beta1_, static_cast<double>(t));
  const double correction2 = 1 - std::pow(beta2_, static_cast<double>(t));
  dispatch_float("Adam", "weights", table.weight, [&](auto zero) {
    using T = decltype(zero);
    const Index d = grad.rows.dim(1);
    parallel_ranges(grad.ids.size(), rows_per_task(8 * d), [&](Index begin, Index end) {
      kernels::row_kernels<T>().adam_rows(
          table.weight.data<T>(), table.slots[0].data<T>(), table.slots[1].data<T>(), grad.rows.data<T>() + begin * d,
          grad.ids.data<std::int64_t>() + begin, static_cast<T>(lr / correction1), static_cast<T>(beta1_),
          static_cast<T>(beta2_), static_cast<T>(eps_), static_cast<T>(1 / std::sqrt(correction2)),
          static_cast<T>(grad_scale), end - begin, d);
    });
  });
}

std::string Adam::repr() const {
  return concat(decoupled_ ? "AdamW" : "Adam", "(lr=", schedule().repr(), ", betas=(", beta1_, ", ", beta2_,
                "), eps=", eps_, ", weight_decay=", weight_decay_, ")");
}

}  // namespace attendo::train
