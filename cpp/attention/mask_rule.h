#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "attention/scaled_dot_product.h"
#include "kernels/mask_rule.h"

namespace attendo {

// The call a mask is for.
struct MaskSizes {
  Index batch = 1, heads = 1, length = 0, keys = 0, q_offset = 0;
};

// A mask made ready for one call: the steps of each (batch, head), and the tables they point to.
class MaskRule {
 public:
  // Of the queries from `row` on.
  kernels::MaskRule of(Index b, Index h, Index row = 0) const {
    return {steps_.data() + (b * batch_ + h * head_) * count_, count_, row};
  }

  // bool (batch, heads, L, S)
  Tensor written_out(const MaskSizes& sizes) const;

 private:
  friend class MaskExpression;
  std::vector<kernels::MaskStep> steps_;
  Index count_ = 0, batch_ = 0, head_ = 0;  // strides in rules
  std::vector<Tensor> arrays_;
  std::vector<std::shared_ptr<const std::vector<std::int32_t>>> tables_;
};

// Masks combined by and, or, not. `op` names the caller in errors.
class MaskExpression {
 public:
  static MaskExpression causal();
  static MaskExpression window(Index left, Index right);
  static MaskExpression strided(Index stride);
  static MaskExpression lengths(const Tensor& lengths);          // int64 (batch,)
  static MaskExpression prefix(const Tensor& lengths);           // int64 (batch,), or (1,) for all
  static MaskExpression global_tokens(const Tensor& positions);  // int64 (n,)
  static MaskExpression blocks(const Tensor& layout,
                               Index size);            // bool (query blocks, key blocks), or with heads before
  static MaskExpression documents(const Tensor& ids);  // int64 (S,) or (batch, S)
  static MaskExpression dense(const Tensor& array);    // bool, broadcastable to (batch, heads, L, S)
  friend MaskExpression operator&(const MaskExpression& a, const MaskExpression& b);
  friend MaskExpression operator|(const MaskExpression& a, const MaskExpression& b);
  friend MaskExpression operator~(const MaskExpression& a);

  // A mask in it that counts positions, or null.
  const char* counts_positions() const;
  // Sets what `options` has room for, and its rule for the rest.
  void lower(AttentionOptions& options, const char* op, const MaskSizes& sizes) const;
  // bool (batch, heads, L, S)
  Tensor written_out(const char* op, const MaskSizes& sizes) const;
  // How many of the entries of each cell of `side` queries and keys batch entry b and head h may attend to: int64.
  Tensor cell_counts(const char* op, const MaskSizes& sizes, Index b, Index h, Index side) const;

 private:
  enum class Kind {
    kCausal,
    kWindow,
    kStrided,
    kLengths,
    kPrefix,
    kGlobalTokens,
    kBlocks,
    kDocuments,
    kDense,
    kAnd,
    kOr,
    kNot
  };
  struct Term {  // in postfix order
    Kind kind;
    Index left = 0, right = 0;  // of a window; a stride or the side of a block is `left`
    Tensor array{};
    std::shared_ptr<const std::vector<std::int32_t>> sums{};  // of blocks, a head after the other
    int a = -1, b = -1;                                       // operands
    int depth = 1;                                            // answers that wait while it is found
  };

  explicit MaskExpression(Term leaf) { terms_.push_back(std::move(leaf)); }
  static MaskExpression joined(Kind kind, const MaskExpression& a, const MaskExpression& b);
  std::shared_ptr<const MaskRule> rule_of(const std::vector<int>& roots, const char* op, const MaskSizes& sizes) const;
  void emit(int root, std::vector<int>& order) const;

  std::vector<Term> terms_;
};

}  // namespace attendo
