#pragma once

#include "train/optimizers.h"

namespace attendo::train {

class RmsProp : public Optimizer {
 public:
  RmsProp(const Schedule& schedule, const Options& options, std::vector<ParameterGroup> groups);
  const char* name() const override { return "RMSprop"; }
  std::vector<std::string> option_names() const override {
    return {"alpha", "eps", "weight_decay", "momentum", "centered"};
  }

 private:
  void check(const std::string& op, const Options& options) const override;
  std::vector<const char*> slot_names(const Options& options) const override;
  void update(const Flat& flat, const Options& options, const Step& step) override;
  void check_sparse(const Options& options) const override;
  void update_rows(const Table& table, const Options& options, const RowGrad& grad, const Step& step) override;
};

}  // namespace attendo::train
