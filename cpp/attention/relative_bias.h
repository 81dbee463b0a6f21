#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// Entry (i, j) of an (L, S) array reads entry clip(zero + j - (i + q_offset), 0, R - 1) of an axis of R.
struct RelativeAxis {
  Index length = 0, keys = 0;
  Index count = 0;  // R
  Index first = 0;  // zero - q_offset: what (0, 0) reads, before clipping
};

// y (rows, S) = factor · what each row of x (rows, R) holds for its keys; row n is query n % L.
template <typename T>
void relative_shift_forward(T* y, const T* x, const RelativeAxis& axis, Index rows, T factor);
// d_x (rows, R) = factor · the sums of the d_y (rows, S) that read an entry.
template <typename T>
void relative_shift_backward(T* d_x, const T* d_y, const RelativeAxis& axis, Index rows, T factor);

// table (…, R) -> (…, L, S)
Tensor relative_bias(const Tensor& table, Index length, Index keys, Index q_offset, Index zero);

// x (…, L, R) -> (…, L, S): each query reads its own row.
Tensor relative_shift(const Tensor& x, Index keys, Index q_offset, Index zero);

// x (…, H, L, D), table (R, D) or (H, R, D) -> factor · x_i·table_e (…, H, L, R). What got no gradient, as behind a mask, is
// left out of the products of backward: a NaN there stays where it is.
Tensor relative_products(const Tensor& x, const Tensor& table, double factor);

// Adds products[…, i, clip(…)] to the scores, looked up inside the kernel; of positions too large for that, as a bias.
void add_relative_scores(AttentionOptions& options, const Tensor& products, Index keys, Index zero);

}  // namespace attendo
