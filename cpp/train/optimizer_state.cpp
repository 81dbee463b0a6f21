// What of an optimizer goes into a checkpoint, and what others see of it.
#include <algorithm>
#include <cmath>

#include "train/optimizers.h"

namespace attendo::train {

std::vector<Optimizer::Block> Optimizer::blocks() const {
  std::vector<Block> out;
  for (const Flat& flat : flats_) {
    out.push_back({prefix(flat.group) + dtype_name(flat.weights.dtype()), flat.weights, flat.grads, flat.parameters});
  }
  return out;
}

std::vector<Tensor> Optimizer::tables() const {
  std::vector<Tensor> out;
  for (const Table& table : tables_) out.push_back(table.weight);
  return out;
}

NamedTensors Optimizer::plateau_state() const {
  NamedTensors out;
  for (size_t g = 0; g < plateaus_.size(); ++g) {
    const Schedule* schedule = g == groups_.size() ? &schedule_ : groups_[g].schedule ? &*groups_[g].schedule : nullptr;
    if (schedule == nullptr || schedule->kind != Schedule::Kind::kPlateau) continue;
    const Plateau& plateau = plateaus_[g];
    const Tensor values = Tensor::empty({4}, DType::kFloat64);
    const double of[] = {plateau.rate, plateau.best, static_cast<double>(plateau.bad),
                         static_cast<double>(plateau.cooldown)};
    std::copy(of, of + 4, values.data<double>());
    out.emplace_back(prefix(g) + "plateau", values);
  }
  return out;
}

NamedTensors Optimizer::state() const {
  const Tensor steps = Tensor::empty({1}, DType::kInt64);
  steps.data<std::int64_t>()[0] = steps_;
  NamedTensors out = {{"steps", steps}};
  for (const auto& entry : plateau_state()) out.push_back(entry);
  for (const Flat& flat : flats_) {
    const auto names = slot_names(options_of(flat.group));
    for (size_t slot = 0; slot < names.size(); ++slot) {
      out.emplace_back(concat(prefix(flat.group), names[slot], ".", dtype_name(flat.weights.dtype())),
                       flat.slots[slot]);
    }
  }
  for (size_t i = 0; i < tables_.size(); ++i) {
    const auto names = slot_names(options_of(tables_[i].group));
    for (size_t slot = 0; slot < names.size(); ++slot) {
      const Tensor& value = tables_[i].slots[slot];
      out.emplace_back(concat(names[slot], ".table", i), value.view({value.size()}));
    }
  }
  return out;
}

void Optimizer::load_state(const NamedTensors& state) {
  if (!attached()) value_error("load_state: the optimizer steps no parameters yet; call attach(model) first");
  const NamedTensors own = this->state();
  for (const auto& [name, value] : state) {
    if (name == "steps") check_count("load_state", name, value);
    if (!name.ends_with("plateau") || value.dtype() != DType::kFloat64 || value.size() != 4) continue;
    const double* p = value.data<double>();
    if (!(p[0] >= 0 && std::isfinite(p[0])) || !(p[2] >= 0 && p[2] < 1e15) || !(p[3] >= 0 && p[3] < 1e15))
      value_error("load_state: state['", name,
                  "'] must be a rate, a best value and two counts, each count and the rate "
                  "0 or more");
  }
  load_named("load_state", own, state);
  for (const auto& [name, value] : own) {
    if (name == "steps") steps_ = value.data<std::int64_t>()[0];
    for (size_t g = 0; g < plateaus_.size(); ++g) {
      if (name != prefix(g) + "plateau") continue;
      const double* p = value.data<double>();
      plateaus_[g].rate = p[0], plateaus_[g].best = p[1];
      plateaus_[g].bad = static_cast<std::int64_t>(p[2]), plateaus_[g].cooldown = static_cast<std::int64_t>(p[3]);
    }
  }
}

std::string Optimizer::repr() const {
  std::string text = concat(name(), "(lr=", schedule_.repr());
  for (const std::string& key : option_names()) {
    text += concat(", ", key, "=");
    if (key == "betas") {
      text += concat("(", options_.beta1, ", ", options_.beta2, ")");
    } else if (const auto number = number_option(key)) {
      text += concat(options_.*number);
    } else if (const auto flag = flag_option(key)) {
      text += options_.*flag ? "True" : "False";
    }
  }
  if (!groups_.empty()) text += concat(", groups=", groups_.size());
  return text + ")";
}

}  // namespace attendo::train
