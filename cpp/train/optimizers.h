#pragma once

#include "core/row_grad.h"
#include "nn/module.h"
#include "train/parameter_groups.h"

namespace attendo::train {

// Holds the parameters it steps in one flat buffer a group and dtype, their gradients in another, so that a step is one
// pass. Tables of sparse layers (sparse_grad) stay where they are: of them a step touches the rows that have a gradient.
class Optimizer {
 public:
  Optimizer(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups);
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // Takes over the parameters that require a gradient: their data and gradients move into the flat buffers. Attaching
  // again, to the same ones, keeps the state. An optimizer attached later takes parameters over; the earlier one then
  // refuses to step.
  void attach(const NamedTensors& parameters);
  void attach(const std::vector<Tensor>& parameters);  // without names: no pattern of a group fits
  bool attached() const { return !flats_.empty() || !tables_.empty(); }
  bool owns_parameters() const { return attached() && *owner_; }  // and no later optimizer has taken them over

  void zero_grad();
  // One update with the learning rate of this step. `clip_value` > 0 first clamps each gradient to ±clip_value, then
  // `clip_norm` > 0 scales all of them to that norm at most; either refuses gradients that are not finite.
  void step(double clip_norm = 0, double clip_value = 0);
  double grad_norm() const;
  // What a plateau schedule waits for: a loss of validation, say. Nothing to the other schedules.
  void observe(double value);

  std::int64_t steps() const { return steps_; }
  double lr() const { return lr(groups_.size()); }  // of the step to come, of what is in no group
  double lr(size_t group) const;
  const Schedule& schedule() const { return schedule_; }
  void set_schedule(const Schedule& schedule);
  const Options& options() const { return options_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }

  // Who has put other values into the weights for a while (an average of them): no step may be made on those.
  const void* guest() const { return guest_; }
  void set_guest(const void* guest) { guest_ = guest; }

  // What lies in one piece of memory: weights, their gradients, and the parameters that are in it with their first elements.
  struct Block {
    std::string name;       // "float32", "group0.float64"
    Tensor weights, grads;  // (n,)
    std::vector<std::pair<Tensor, Index>> parameters;
  };
  std::vector<Block> blocks() const;
  // The tables of sparse layers, which lie in no block.
  std::vector<Tensor> tables() const;

  // For checkpoints: the step count, what plateau schedules remember, and the state buffers themselves, by name.
  NamedTensors state() const;
  void load_state(const NamedTensors& state);  // all of it or, with an error, nothing
  void set_steps(std::int64_t steps) { steps_ = steps; }

  virtual const char* name() const = 0;
  virtual std::vector<std::string> option_names() const = 0;  // which of the Options it reads, in PyTorch's order
  std::string repr() const;

 protected:
  struct Flat {
    size_t group;
    std::vector<std::pair<Tensor, Index>> parameters;  // with the place of their first elements
    Tensor weights, grads;
    std::vector<Tensor> slots;  // momentum and the like, as long as the weights
  };
  struct Table {
    size_t group;
    Tensor weight;
    std::vector<Tensor> slots;  // of its shape
  };
  // t: number of this step, from 1. The gradients count `grad_scale` times.
  struct Step {
    std::int64_t t;
    double lr, grad_scale;
  };

  // For constructors: check() of the options, and of those of each group.
  void check_options() const;
  // An error for an option out of range; `op` begins it.
  virtual void check(const std::string& op, const Options& options) const = 0;
  virtual std::vector<const char*> slot_names(const Options& options) const = 0;
  virtual double slot_start(const Options&) const { return 0; }
  virtual void update(const Flat& flat, const Options& options, const Step& step) = 0;
  // An error that names the option for which all rows of a table would have to move in every step.
  virtual void check_sparse(const Options& options) const = 0;
  // The same as update for the rows of a table that have a gradient; nothing of the others changes.
  virtual void update_rows(const Table& table, const Options& options, const RowGrad& grad, const Step& step) = 0;

 private:
  const Options& options_of(size_t group) const;
  std::string prefix(size_t group) const;
  void attach_table(const Tensor& p, size_t group);
  void attach_flat(const NamedTensors& parameters, const std::vector<size_t>& groups, size_t group, DType dtype);
  void check_left_out() const;
  void check_rate(size_t group, DType dtype) const;
  double clip(double clip_norm, double clip_value);
  NamedTensors plateau_state() const;

  std::vector<Flat> flats_;
  std::vector<Table> tables_;
  NamedTensors left_out_;                                       // required no gradient when the others were attached
  std::shared_ptr<bool> owner_ = std::make_shared<bool>(true);  // false once another optimizer took the parameters over
  Schedule schedule_;
  Options options_;
  std::vector<ParameterGroup> groups_;
  std::vector<Plateau> plateaus_;  // of each group, and of the rest
  std::int64_t steps_ = 0;
  const void* guest_ = nullptr;
};

// Elements of a flat buffer that are one task.
inline constexpr Index kStepGrain = 1 << 15;

// Checks of options: [0, 1), and 0 or more.
void check_fraction(const std::string& op, const char* name, double value);
void check_not_negative(const std::string& op, const char* name, double value);
// For check_sparse: the option must be 0 where a layer has sparse=True.
void check_no_sparse(const char* optimizer, const char* name, double value);
[[noreturn]] void refuse_sparse(const char* optimizer);

}  // namespace attendo::train
