#pragma once

#include "core/row_grad.h"
#include "nn/module.h"
#include "train/schedules.h"

namespace attendo::train {

// Holds the parameters it steps in one flat buffer a dtype, their gradients in another, so that a step is one pass.
// Tables of sparse layers (sparse_grad) stay where they are: of them a step touches the rows that have a gradient.
class Optimizer {
 public:
  explicit Optimizer(const Schedule& schedule) : schedule_(schedule) {}
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // Takes over the parameters that require a gradient: their data and gradients move into the flat buffers. Attaching
  // again, to the same ones, keeps the state. An optimizer attached later takes parameters over; the earlier one then
  // refuses to step.
  void attach(const std::vector<Tensor>& parameters);
  bool attached() const { return !flats_.empty() || !tables_.empty(); }

  void zero_grad();
  // One update with the learning rate of this step. `clip_norm` > 0 scales the gradients to that norm at most.
  void step(double clip_norm = 0);
  double grad_norm() const;

  std::int64_t steps() const { return steps_; }
  double lr() const { return schedule_(steps_ + 1); }  // of the step to come
  const Schedule& schedule() const { return schedule_; }

  // What lies in one piece of memory: weights, their gradients, and the parameters that are in it with their first elements.
  struct Block {
    Tensor weights, grads;  // (n,)
    std::vector<std::pair<Tensor, Index>> parameters;
  };
  std::vector<Block> blocks() const;
  // The tables of sparse layers, which lie in no block.
  std::vector<Tensor> tables() const;

  // For checkpoints: the step count, and each flat state buffer by name.
  std::vector<std::pair<std::string, Tensor>> state() const;
  void set_steps(std::int64_t steps) { steps_ = steps; }
  virtual std::string repr() const = 0;

 protected:
  struct Flat {
    std::vector<std::pair<Tensor, Index>> parameters;  // with the place of their first elements
    Tensor weights, grads;
    std::vector<Tensor> slots;  // momentum and the like, as long as the weights
  };
  struct Table {
    Tensor weight;
    std::vector<Tensor> slots;  // of its shape
  };
  virtual int slot_count() const = 0;
  virtual const char* slot_name(int slot) const = 0;
  // t: number of this step, from 1. The gradients count `grad_scale` times.
  virtual void update(Flat& flat, std::int64_t t, double lr, double grad_scale) = 0;
  // The same for the rows of a table; nothing of the others changes.
  virtual void update_rows(Table& table, const RowGrad& grad, std::int64_t t, double lr, double grad_scale) = 0;
  // An error that names the option for which all rows of a table would have to move in every step.
  virtual void check_sparse() const = 0;

 private:
  void attach_table(const Tensor& p);
  void attach_flat(const std::vector<Tensor>& parameters, DType dtype);
  std::vector<Flat> flats_;
  std::vector<Table> tables_;
  std::shared_ptr<bool> owner_ = std::make_shared<bool>(true);  // false once another optimizer took the parameters over
  Schedule schedule_;
  std::int64_t steps_ = 0;
};

class Sgd : public Optimizer {
 public:
  Sgd(const Schedule& schedule, double momentum, bool nesterov, double weight_decay);
  std::string repr() const override;

 private:
  int slot_count() const override { return momentum_ > 0 ? 1 : 0; }
  const char* slot_name(int) const override { return "velocity"; }
  void update(Flat& flat, std::int64_t t, double lr, double grad_scale) override;
  void update_rows(Table& table, const RowGrad& grad, std::int64_t t, double lr, double grad_scale) override;
  void check_sparse() const override;
  double momentum_;
  bool nesterov_;
  double weight_decay_;
};

// `decoupled`: AdamW, the decay acts on the weights themselves; otherwise it is added to the gradient.
class Adam : public Optimizer {
 public:
  Adam(const Schedule& schedule, double beta1, double beta2, double eps, double weight_decay, bool decoupled);
  std::string repr() const override;

 private:
  int slot_count() const override { return 2; }
  const char* slot_name(int slot) const override { return slot == 0 ? "m" : "v"; }
  void update(Flat& flat, std::int64_t t, double lr, double grad_scale) override;
  void update_rows(Table& table, const RowGrad& grad, std::int64_t t, double lr, double grad_scale) override;
  void check_sparse() const override;
  double beta1_, beta2_, eps_, weight_decay_;
  bool decoupled_;
};

}  // namespace attendo::train
