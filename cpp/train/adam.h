#pragma once

#include "train/optimizers.h"

namespace attendo::train {

// `decoupled`: AdamW, the decay acts on the weights themselves; otherwise it is added to the gradient.
class Adam : public Optimizer {
 public:
  Adam(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups, bool decoupled = false);
  const char* name() const override { return decoupled_ ? "AdamW" : "Adam"; }
  std::vector<std::string> option_names() const override { return {"betas", "eps", "weight_decay", "amsgrad"}; }

 private:
  void check(const std::string& op, const Options& options) const override;
  std::vector<const char*> slot_names(const Options& options) const override;
  void update(const Flat& flat, const Options& options, const Step& step) override;
  void check_sparse(const Options& options) const override;
  void update_rows(const Table& table, const Options& options, const RowGrad& grad, const Step& step) override;
  bool decoupled_;
};

class AdamW : public Adam {
 public:
  AdamW(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups)
      : Adam(schedule, options, std::move(groups), true) {}
};

}  // namespace attendo::train
