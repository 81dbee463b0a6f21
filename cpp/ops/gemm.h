// Matrix products on all threads. Plain functions on pointers; the differentiable operations stand in their own files.
#pragma once

#include <algorithm>

#include "core/shape.h"
#include "kernels/gemm.h"

namespace attendo {

using kernels::Activation;
using kernels::Epilogue;
using kernels::needs_input;

// c (m, n) = a (m, k) · b (k, n)  (+ c)  (+ bias)  (then the epilogue); any strides for a and b, rows of c contiguous.
template <typename T>
struct Gemm {
  Index m = 0, n = 0, k = 0;
  const T* a = nullptr;
  Index a_row = 0, a_col = 1;
  const T* b = nullptr;
  Index b_row = 0, b_col = 1;
  T* c = nullptr;
  Index c_row = 0;
  bool add = false;
  const T* bias = nullptr;
  Epilogue<T> epilogue;
};

template <typename T>
void gemm(const Gemm<T>& g);

// Columns a task where few rows meet a weight of k columns, row by row of it (kernels/gemv.h).
inline Index gemv_columns(Index rows, Index k) { return std::max<Index>(4, 100000 / (k * ((rows + 3) / 4)) / 4 * 4); }

// y = f(y), row by row: y (rows, n).
template <typename T>
void finish_rows(T* y, Index rows, Index n, Activation activation);

// out[j] (+)= Σ_i x[i, j]
template <typename T>
void column_sum(T* out, const T* x, Index rows, Index n, bool add);

}  // namespace attendo
