#pragma once

#include "core/autograd.h"
#include "core/parallel.h"
#include "kernels/rows.h"

namespace attendo {

// Over the last axis. weight (γ) and bias (β), both (n,), may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

// What forward leaves for backward.
struct LayerNormSaved {
  Tensor x, weight, bias;
  Tensor mean, rstd;  // (rows,)
  Index rows, n;
  double eps;
};

// Checks the arguments of `op` and makes room for mean and rstd.
LayerNormSaved check_layer_norm(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

// Rows that stay in the first cache while two kernels follow one another over them.
inline Index rows_in_cache(Index n) { return std::max<Index>(1, 1024 / std::max<Index>(1, n)); }

// d_x, d_weight and d_bias may be null. after(first, last) follows when d_x of these rows is written.
//
// dγ and dβ are summed in shards of rows, added in order.
template <typename T, typename After>
void layer_norm_backward(T* d_x, T* d_weight, T* d_bias, const T* d_y, const LayerNormSaved& s, const After& after) {
  const Index n = s.n, step = rows_in_cache(n);
  const Shards shards(s.rows, rows_per_task(6 * n));
  Scratch<T> sums(static_cast<size_t>(2 * shards.count * n));
  std::fill_n(sums.get(), 2 * shards.count * n, T(0));
  parallel_for(shards.count, [&](Index shard) {
    const Index begin = shard * shards.rows, end = std::min(s.rows, begin + shards.rows);
    T* total = sums.get() + 2 * shard * n;
    // In blocks, whose sums are added: see column_sum.
    constexpr Index kBlock = 256;
    Scratch<T> block(static_cast<size_t>(2 * n));
    T* gamma = block.get();
    for (Index block_end, start = begin; start < end; start = block_end) {
      block_end = std::min(end, start + kBlock);
      std::fill_n(gamma, 2 * n, T(0));
      for (Index last, first = start; first < block_end; first = last) {
        last = std::min(block_end, first + step);
        kernels::row_kernels<T>().layer_norm_backward(
            d_x == nullptr ? nullptr : d_x + first * n, d_weight == nullptr ? nullptr : gamma,
            d_bias == nullptr ? nullptr : gamma + n, d_y + first * n, s.x.data<T>() + first * n,
            s.mean.data<T>() + first, s.rstd.data<T>() + first, data_or_null<T>(s.weight), last - first, n);
        after(first, last);
      }
      for (Index i = 0; i < 2 * n; ++i) total[i] += gamma[i];
    }
  });
  T* const outs[2] = {d_weight, d_bias};
  for (int which = 0; which < 2; ++which) {
    if (outs[which] == nullptr) continue;
    std::fill_n(outs[which], n, T(0));
    for (Index shard = 0; shard < shards.count; ++shard) {
      const T* part = sums.get() + (2 * shard + which) * n;
      for (Index i = 0; i < n; ++i) outs[which][i] += part[i];
    }
  }
}

}  // namespace attendo
