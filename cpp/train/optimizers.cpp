// What optimizers have in common: flat buffers and groups.   The formulas: sgd.cpp, adam.cpp, …
//
// Where the gradient is one of rows, the rows it has are stepped, what is remembered of them too; the others stay as they
// are.
#include "train/optimizers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>

#include "train/clipping.h"

namespace attendo::train {
namespace {

// All rows of a table that got a whole gradient.
RowGrad all_rows(const Tensor& grad) {
  const Tensor ids = Tensor::empty({grad.dim(0)}, DType::kInt64);
  std::iota(ids.data<std::int64_t>(), ids.data<std::int64_t>() + ids.size(), std::int64_t{0});
  return {ids, grad};
}

std::string described(const std::string& name, const Tensor& p) {
  return name.empty() ? concat("a parameter of shape ", p.shape()) : concat("'", name, "'");
}

}  // namespace

Optimizer::Optimizer(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
    : schedule_(schedule), options_(options), groups_(std::move(groups)) {
  for (const ParameterGroup& group : groups_) plateaus_.emplace_back(group.schedule.value_or(schedule));
  plateaus_.emplace_back(schedule);
}

const Options& Optimizer::options_of(size_t group) const {
  return group < groups_.size() ? groups_[group].options : options_;
}

std::string Optimizer::prefix(size_t group) const {
  return group < groups_.size() ? concat("group", group, ".") : std::string();
}

void Optimizer::check_options() const {
  check(name(), options_);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::string op = concat(name(), ": groups[", g, "]");
    check(op, groups_[g].options);
    check_not_negative(op, "lr_scale", groups_[g].lr_scale);
  }
}

void Optimizer::attach(const std::vector<Tensor>& parameters) {
  NamedTensors named;
  for (const Tensor& p : parameters) named.emplace_back("", p);
  attach(named);
}

void Optimizer::attach(const NamedTensors& parameters) {
  NamedTensors wanted, left_out;
  std::vector<size_t> group;  // of each one wanted
  std::set<const TensorImpl*> seen;
  // Int8 under low-rank updates, or beside floats that were frozen: what trains was chosen, and is not that.
  const bool chosen = std::any_of(parameters.begin(), parameters.end(), [](const auto& named) {
    return named.second.low_rank() || (is_float(named.second.dtype()) && !named.second.requires_grad());
  });
  const std::vector<size_t> assigned = attached() ? std::vector<size_t>() : assign_groups(groups_, parameters);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, p] = parameters[i];
    if (p.dtype() == DType::kInt8 && !chosen) {
      value_error("Optimizer: parameters holds one of shape ", p.shape(),
                  " that is int8, which cannot be trained: train before to_int8()");
    }
    if (!p.requires_grad()) {
      left_out.push_back(parameters[i]);
    } else if (seen.insert(p.impl().get()).second) {
      wanted.push_back(parameters[i]);
      if (!attached()) group.push_back(assigned[i]);
    }
  }
  if (attached()) {
    std::set<const TensorImpl*> held;
    for (const Flat& flat : flats_) {
      for (const auto& [p, offset] : flat.parameters) held.insert(p.impl().get());
    }
    for (const Table& table : tables_) held.insert(table.weight.impl().get());
    if (!*owner_) value_error("optimizer: another optimizer has taken over its parameters; make a new one");
    check_left_out();
    if (!std::includes(held.begin(), held.end(), seen.begin(), seen.end()))
      value_error("optimizer: it already steps other parameters; make a new one for these");
    return;
  }
  for (const auto& [name, p] : parameters) {
    if (wanted.empty() && p.dtype() == DType::kInt8) {
      value_error("optimizer: no parameter requires a gradient, and ", name.empty() ? "one of them" : name,
                  " is int8, which cannot be trained: train before to_int8() or quantize");
    }
  }
  if (wanted.empty())
    value_error(
        "optimizer: there is no parameter that requires a gradient (layers in a plain list are not seen: use "
        "ModuleList)");
  for (const auto& [name, p] : wanted) {
    if (!p.is_leaf())
      value_error("optimizer: a tensor that was computed cannot be stepped; attach the leaves it came from");
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].second.impl()->sparse_grad) check_sparse(options_of(group[i]));
  }
  for (const auto& [name, p] : wanted) {
    if (p.impl()->grad_owner) *p.impl()->grad_owner = false;
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].second.impl()->sparse_grad) attach_table(wanted[i].second, group[i]);
  }
  for (size_t g = 0; g <= groups_.size(); ++g) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat64}) attach_flat(wanted, group, g, dtype);
  }
  left_out_ = std::move(left_out);
}

void Optimizer::attach_table(const Tensor& p, size_t group) {
  Table table{group, p, {}};
  const Options& options = options_of(group);
  for (size_t slot = 0; slot < slot_names(options).size(); ++slot) {
    table.slots.push_back(Tensor::full(p.shape(), p.dtype(), slot_start(options)));
  }
  p.impl()->grad_owner = owner_;
  tables_.push_back(std::move(table));
}

void Optimizer::attach_flat(const NamedTensors& parameters, const std::vector<size_t>& groups, size_t group,
                            DType dtype) {
  Flat flat;
  flat.group = group;
  Index total = 0;
  // Each parameter begins at a whole vector.
  const Index unit = static_cast<Index>(kAlignment / dtype_size(dtype));
  auto padded = [unit](Index n) { return (n + unit - 1) / unit * unit; };
  auto belongs = [&](size_t i) {
    const Tensor& p = parameters[i].second;
    return groups[i] == group && p.dtype() == dtype && !p.impl()->sparse_grad;
  };
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (belongs(i)) total += padded(parameters[i].second.size());
  }
  if (total == 0) return;
  const Options& options = options_of(group);
  flat.weights = Tensor::zeros({total}, dtype);
  flat.grads = Tensor::zeros({total}, dtype);
  for (size_t slot = 0; slot < slot_names(options).size(); ++slot) {
    flat.slots.push_back(Tensor::full({total}, dtype, slot_start(options)));
  }
  Index offset = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!belongs(i)) continue;
    const Tensor& p = parameters[i].second;
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

// How often the gradients count.
double Optimizer::clip(double clip_norm, double clip_value) {
  if (!(clip_norm > 0) && !(clip_value > 0)) return 1;
  if (clip_value > 0) {
    for (const Flat& flat : flats_) clip_values(flat.grads, clip_value);
    for (const Table& table : tables_) {
      const TensorImpl& impl = *table.weight.impl();
      if (impl.row_grad) clip_values(impl.row_grad->rows, clip_value);
      if (impl.grad) clip_values(impl.grad, clip_value);
    }
  }
  const double norm = grad_norm();
  if (!std::isfinite(norm))
    value_error("step: gradients are not finite at step ", steps_ + 1, ": their norm is ", norm,
                "; no parameter was changed");
  return clip_norm > 0 ? std::min(1.0, clip_norm / (norm + 1e-6)) : 1;
}

void Optimizer::check_left_out() const {
  for (const auto& [name, p] : left_out_) {
    if (p.requires_grad() && !p.impl()->grad_owner)
      value_error("optimizer: ", described(name, p),
                  " requires a gradient but did not when the optimizer was attached, and would never move: attach it "
                  "unfrozen and freeze it then, or make a new optimizer");
  }
}

void Optimizer::step(double clip_norm, double clip_value) {
  if (!attached()) value_error("optimizer: it steps no parameters yet; call attach(model) first");
  if (!*owner_) value_error("optimizer: another optimizer has taken over its parameters; step that one");
  if (guest_ != nullptr) value_error("optimizer: the model holds an average of its weights now; swap() it back first");
  check_left_out();
  for (const Flat& flat : flats_) check_rate(flat.group, flat.weights.dtype());
  for (const Table& table : tables_) check_rate(table.group, table.weight.dtype());
  Step step{steps_ + 1, 0, clip(clip_norm, clip_value)};
  for (const Flat& flat : flats_) {
    // Momentum and decay would move a parameter that was frozen after it was attached: it gets its values back.
    std::vector<std::pair<Tensor, Tensor>> frozen;
    for (const auto& [p, offset] : flat.parameters) {
      if (!p.requires_grad()) frozen.emplace_back(p, p.clone());
    }
    step.lr = lr(flat.group);
    update(flat, options_of(flat.group), step);
    for (const auto& [p, before] : frozen) std::memcpy(p.raw(), before.raw(), p.bytes());
  }
  for (const Table& table : tables_) {
    const TensorImpl& impl = *table.weight.impl();
    if (!impl.requires_grad) continue;
    step.lr = lr(table.group);
    if (impl.row_grad) update_rows(table, options_of(table.group), *impl.row_grad, step);
    if (impl.grad) update_rows(table, options_of(table.group), all_rows(impl.grad), step);
  }
  ++steps_;
}

void Optimizer::check_rate(size_t group, DType dtype) const {
  const double rate = lr(group);
  const double most =
      dtype == DType::kFloat32 ? double{std::numeric_limits<float>::max()} : std::numeric_limits<double>::max();
  if (std::abs(rate) <= most) return;
  value_error("step: the learning rate of step ", steps_ + 1,
              group < groups_.size() ? concat(" in groups[", group, "]") : std::string(), " is ", rate,
              " but must be finite in the parameters' dtype; no parameter was changed");
}

double Optimizer::lr(size_t group) const {
  const bool own = group < groups_.size() && groups_[group].schedule;
  const Schedule& schedule = own ? *groups_[group].schedule : schedule_;
  const Plateau& plateau = own ? plateaus_[group] : plateaus_.back();
  const double rate = schedule.kind == Schedule::Kind::kPlateau ? plateau.rate : schedule(steps_ + 1);
  return group < groups_.size() ? rate * groups_[group].lr_scale : rate;
}

void Optimizer::set_schedule(const Schedule& schedule) {
  schedule_ = schedule;
  plateaus_.back() = Plateau(schedule);
}

void Optimizer::observe(double value) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const auto& schedule = groups_[g].schedule;
    if (schedule && schedule->kind == Schedule::Kind::kPlateau) plateaus_[g].observe(*schedule, value);
  }
  if (schedule_.kind == Schedule::Kind::kPlateau) plateaus_.back().observe(schedule_, value);
}

void check_fraction(const std::string& op, const char* name, double value) {
  if (!(value >= 0 && value < 1)) value_error(op, ": ", name, " is ", value, " but must be 0 or more and below 1");
}

void check_not_negative(const std::string& op, const char* name, double value) {
  if (!(value >= 0) || !std::isfinite(value)) value_error(op, ": ", name, " is ", value, " but must be 0 or more");
}

void check_no_sparse(const char* optimizer, const char* name, double value) {
  if (value != 0) {
    value_error(optimizer, ": ", name, " is ", value,
                " but must be 0 where a layer has sparse=True: it moves all rows in every step");
  }
}

void refuse_sparse(const char* optimizer) {
  value_error(optimizer,
              ": a layer has sparse=True, but the step moves all rows; take SGD, Adagrad or Adam, or sparse=False");
}

}  // namespace attendo::train
