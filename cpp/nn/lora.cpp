// Low-rank updates of frozen matrices
//
//   y = x Wᵀ + b + (α / r) drop(x) Aᵀ Bᵀ       A: uniform in ±√(1/in) at first, B: 0
//
// W, frozen: (out, in).  A: (r, in).  B: (out, r).  The update hangs on the matrix itself and is honoured where the matrix is
// multiplied (ops/lora.cpp), so that every way through the layer has it: training, decoding with a cache, eight bits.
//                                                                                      Hu et al. 2021, eq. 3 and §4.1.
#include "nn/lora.h"

#include <cmath>

#include "nn/multi_head_attention.h"
#include "nn/relative_multi_head_attention.h"
#include "ops/arithmetic.h"
#include "ops/dropout.h"
#include "ops/linear.h"
#include "ops/lora.h"

namespace attendo::nn {
namespace {

constexpr const char* kOp = "lora";

// Three matrices in one parameter or in one each, with as many rows as given.
std::vector<LinearRows> projections(const Tensor& stacked, const Tensors& apart, Index q, Index k, Index v) {
  if (stacked) {
    return {{"q_proj_weight", stacked, 0, q},
            {"k_proj_weight", stacked, q, q + k},
            {"v_proj_weight", stacked, q + k, q + k + v}};
  }
  return {{"q_proj_weight", apart[0], 0, q}, {"k_proj_weight", apart[1], 0, k}, {"v_proj_weight", apart[2], 0, v}};
}

LinearRows rows_called(const Module& owner, const std::string& matrix) {
  for (LinearRows& rows : linear_rows(owner)) {
    if (rows.name == matrix) return std::move(rows);
  }
  value_error(kOp, ": ", owner.type_name(), " has no matrix '", matrix, "' that is only given to linear");
}

}  // namespace

std::vector<LinearRows> linear_rows(const Module& module) {
  if (const auto* layer = dynamic_cast<const Linear*>(&module)) {
    return {{"weight", layer->weight(), 0, layer->weight().dim(0)}};
  }
  if (const auto* layer = dynamic_cast<const MultiHeadAttention*>(&module)) {
    const MultiHeadWeights w = layer->weights();
    const HeadShape s = layer->shape();
    return projections(w.in_weight, {w.q_weight, w.k_weight, w.v_weight}, s.heads * s.head_dim, s.kv_heads * s.head_dim,
                       s.kv_heads * s.value_dim);
  }
  if (const auto* layer = dynamic_cast<const RelativeMultiHeadAttention*>(&module)) {
    const Index d = layer->d_model();
    return projections(layer->own_parameters()[0].second, {}, d, d, d);
  }
  return {};
}

std::string update_name(const std::string& matrix) {
  const std::string part = matrix.substr(0, matrix.find("weight"));  // "", "q_proj_"
  return part.substr(0, part.find("proj_")) + "lora";
}

LoRA::LoRA(std::string matrix, Index in, Index out, Index rank, double alpha, double dropout, DType dtype)
    : matrix_(std::move(matrix)), alpha_(alpha), dropout_(dropout) {
  if (rank < 1 || rank > std::min(in, out)) {
    value_error(kOp, ": rank is ", rank, " but must be 1 to ", std::min(in, out), " for a matrix of shape ",
                Shape{out, in});
  }
  if (!std::isfinite(alpha)) value_error(kOp, ": alpha is ", alpha, " but must be a finite number");
  if (!(dropout >= 0 && dropout < 1)) value_error(kOp, ": dropout is ", dropout, " but must be 0 or more and below 1");
  make_parameter("A", {rank, in}, dtype);
  make_parameter("B", {out, rank}, dtype);
  reset_own(generator());
  seal();
}

void LoRA::reset_own(Generator& generator) {
  init_uniform(a(), a().dim(1), generator);
  std::fill_n(b().raw(), b().bytes(), std::byte{0});
}

Tensor LoRA::drop(const Tensor& x) {
  return training() && dropout_ > 0 ? attendo::dropout(x, dropout_, generator()) : x;
}

Tensors LoRA::forward(const Tensors& inputs) {
  const Tensor& x = only_input("LoRA", inputs);
  check_input("LoRA", "x", x, 0, a().dim(1), a().dtype());
  return {scale(linear(linear(drop(x), a(), {}), b(), {}), alpha_ / static_cast<double>(rank()))};
}

std::string LoRA::extra_repr() const {
  return concat(a().dim(1), " -> ", rank(), " -> ", b().dim(0), ", of ", matrix_, ", alpha=", alpha_,
                dropout_ > 0 ? concat(", dropout=", dropout_) : "");
}

LowRank LoRA::update(Index begin, Index end) const {
  return {a(), b(), alpha_ / static_cast<double>(rank()), begin, end, {}};
}

std::shared_ptr<LoRA> attach_lora(Module& owner, const std::string& matrix, Index rank, double alpha, double dropout) {
  const LinearRows rows = rows_called(owner, matrix);
  const std::string name = update_name(matrix);
  if (owner.child<Module>(name.c_str())) {
    value_error(kOp, ": ", owner.type_name(), ".", matrix, " has an update already: merge or remove it first");
  }
  auto lora = std::make_shared<LoRA>(matrix, rows.matrix.dim(1), rows.end - rows.begin, rank, alpha, dropout,
                                     float_dtype(rows.matrix));
  LowRanks updates = rows.matrix.low_rank() ? *rows.matrix.low_rank() : LowRanks();
  updates.push_back(lora->update(rows.begin, rows.end));
  if (dropout > 0) updates.back().drop = [lora](const Tensor& x) { return lora->drop(x); };
  rows.matrix.set_low_rank(std::make_shared<const LowRanks>(std::move(updates)));
  owner.attach_module(name, lora);
  return lora;
}

void detach_lora(Module& owner, const std::string& matrix, bool merge) {
  const LinearRows rows = rows_called(owner, matrix);
  const std::string name = update_name(matrix);
  const auto lora = owner.child<LoRA>(name.c_str());
  if (!lora) value_error(kOp, ": ", owner.type_name(), ".", matrix, " has no update");
  if (merge && rows.matrix.dtype() == DType::kInt8) {
    value_error("merge: ", owner.type_name(), ".", matrix, " is int8, and the sum would be rounded anew: keep the ",
                "update apart, or merge before to_int8()");
  }
  LowRanks kept;
  for (const LowRank& u : *rows.matrix.low_rank()) {
    if (!u.a.same_as(lora->a())) {
      kept.push_back(u);
    } else if (merge) {
      merge_low_rank(rows.matrix, {u});
    }
  }
  rows.matrix.set_low_rank(kept.empty() ? nullptr : std::make_shared<const LowRanks>(std::move(kept)));
  owner.detach_module(name);
}

}  // namespace attendo::nn
