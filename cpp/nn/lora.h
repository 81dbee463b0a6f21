#pragma once

#include "nn/layers.h"

namespace attendo::nn {

// Rows begin … end of a matrix that is only ever given to linear: what a low-rank update may change.
struct LinearRows {
  std::string name;
  Tensor matrix;
  Index begin = 0, end = 0;
};
// Those of the module itself.
std::vector<LinearRows> linear_rows(const Module& module);

// A low-rank update of rows of a matrix that stays where it is: W + (alpha / rank) B A. Part of the module that owns W.
class LoRA : public Module {
 public:
  LoRA(std::string matrix, Index in, Index out, Index rank, double alpha, double dropout, DType dtype);
  Tensors forward(const Tensors& inputs) override;  // the update alone: (alpha / rank) B A drop(x)
  std::string type_name() const override { return "LoRA"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;  // A as a linear layer's weight, B = 0

  const std::string& matrix() const { return matrix_; }
  Index rank() const { return a().dim(0); }
  double alpha() const { return alpha_; }
  double dropout() const { return dropout_; }
  const Tensor& a() const { return own_parameters()[0].second; }
  const Tensor& b() const { return own_parameters()[1].second; }

 private:
  friend std::shared_ptr<LoRA> attach_lora(Module&, const std::string&, Index, double, double);
  Tensor drop(const Tensor& x);
  LowRank update(Index begin, Index end) const;
  std::string matrix_;
  double alpha_, dropout_;
};

// Gives the matrix `matrix` of linear_rows(owner) an update, as the child update_name(matrix).
std::shared_ptr<LoRA> attach_lora(Module& owner, const std::string& matrix, Index rank, double alpha, double dropout);
// Takes it off again; `merge` adds it to the matrix first.
void detach_lora(Module& owner, const std::string& matrix, bool merge);
// "weight" -> "lora", "q_proj_weight" -> "q_lora"
std::string update_name(const std::string& matrix);

}  // namespace attendo::nn
