#pragma once

#include "core/autograd.h"
#include "core/row_grad.h"

namespace attendo {

inline constexpr Index kNoPadding = -1;

// ids int64 (…), weight (V, d) -> (…, d). Row `padding_idx` of weight gets no gradient.
// sparse: the gradient is left as rows (core/row_grad.h) where weight is a leaf that has no whole gradient yet.
Tensor embedding(const Tensor& ids, const Tensor& weight, Index padding_idx = kNoPadding, bool sparse = false);

// Row ids[i] of x (rows, d) for each i, zeros where it is negative -> (n, d); and its transpose, which adds row i of y (n, d)
// to row ids[i] of (rows, d). The ids are not checked.
Tensor gather_rows(const Tensor& x, const Tensor& ids);
Tensor scatter_rows(const Tensor& y, const Tensor& ids, Index rows);

// int64 with values of 0 (or `lowest`) to rows - 1.
void check_ids(const char* op, const char* arg, const Tensor& ids, Index rows, const char* table, Index lowest = 0);

// Adds to the gradient of `table`, for each group g, row groups.ids[g]: Σ_s weight[s] x[index[s]].
// x: (n, d); weight null: 1. As rows where `sparse`, see embedding.
void accumulate_groups(const Tensor& table, const RowGroups& groups, const Tensor& x, const std::int64_t* index,
                       const Tensor& weight, bool sparse);

}  // namespace attendo
