// Statistics of attention's weights, without ever writing them out
//
//   P_i = softmax over the allowed j of s_ij      lse_i = log Σ_j e^s_ij      maximum_i = max_j P_ij
//   entropy_i = - Σ_j P_ij log P_ij = lse_i - Σ_j P_ij s_ij                  top: the keys with the largest P_ij
//
// q: (…, H, L, D).  k: (…, Hkv, S, D).  Off the tape. A query that may attend to nothing: entropy 0, maximum 0, lse -inf,
// keys -1; one whose scores hold a NaN: all NaN, keys -1.   Shannon 1948; Milakov and Gimelshein 2018 (in one pass).
#include "attention/attention_stats.h"

#include <algorithm>
#include <cmath>

#include "core/cost.h"
#include "core/parallel.h"
#include "kernels/attention_stats.h"

namespace attendo {
namespace {

Shape with_last(Shape shape, Index last) {
  shape[-1] = last;
  return shape;
}

// What must hold before results can be allocated; for_score_blocks checks the rest.
void check_ranks(const Tensor& q, const Tensor& k) {
  check_float("attention", "q", q);
  check_min_rank("attention", "q", q, 2, "(..., length, features)");
  check_min_rank("attention", "k", k, 2, "(..., length, features)");
}

// max, sum and moment of the kernel -> entropy, maximum and lse.
template <typename T>
void finish_row(T& max, T& sum, T& moment) {
  const double l = sum, m = max, t = moment;
  const double ln2 = std::log(2.0);
  const bool nothing = l == 0;
  const double entropy = nothing ? 0 : std::log(l) - ln2 * t / l;
  const double maximum = nothing ? 0 : 1 / l;
  const double lse = nothing ? -INFINITY : ln2 * m + std::log(l);
  max = static_cast<T>(lse);
  sum = static_cast<T>(maximum);
  moment = static_cast<T>(entropy);
}

}  // namespace

AttentionStats attention_stats(const Tensor& q, const Tensor& k, const AttentionOptions& options, Index top_k) {
  if (top_k < 0) value_error("attention_stats: top_k is ", top_k, " but must be 0 or more");
  AttentionStats stats;
  auto allocate = [&] {
    const Shape rows = q.shape().slice(0, q.rank() - 1);
    const Index top = std::min(top_k, k.dim(-2));
    for (Tensor* x : {&stats.entropy, &stats.maximum, &stats.lse}) *x = Tensor::empty(rows, q.dtype());
    stats.top_weights = Tensor::empty(with_last(q.shape(), top), q.dtype());
    stats.top_keys = Tensor::empty(with_last(q.shape(), top), DType::kInt64);
  };
  renaming_errors("attention", "attention_stats", [&] {
    check_ranks(q, k);
    allocate();
    const Index length = q.dim(-2), top = stats.top_keys.dim(-1);
    dispatch_float("attention", "q", q, [&](auto zero) {
      using T = decltype(zero);
      const auto& kernel = kernels::attention_stats_kernels<T>();
      for_score_blocks<T>(q, k, options, [&](const auto& head, Index bh, Index begin, Index end) {
        Scratch<T> scratch(static_cast<size_t>(kernel.scratch(head.d)));
        count_multiply_adds((end - begin) * k.dim(-2) * head.d);
        const Index at = bh * length;
        const kernels::AttentionRowStats<T> rows{stats.lse.data<T>() + at,
                                                 stats.maximum.data<T>() + at,
                                                 stats.entropy.data<T>() + at,
                                                 top,
                                                 stats.top_keys.data<std::int64_t>() + at * top,
                                                 stats.top_weights.data<T>() + at * top};
        kernel.run(head, begin, end, rows, scratch.get());
        for (Index i = begin; i < end; ++i) finish_row(rows.max[i], rows.sum[i], rows.moment[i]);
      });
    });
  });
  return stats;
}

Tensor attention_row_weights(const Tensor& q, const Tensor& k, const std::vector<Index>& rows,
                             const AttentionOptions& options) {
  constexpr const char* kName = "attention_row_weights";
  return renaming_errors("attention", kName, [&] {
    check_ranks(q, k);
    const Index length = q.dim(-2), keys = k.dim(-2), count = static_cast<Index>(rows.size());
    std::vector<std::pair<Index, Index>> wanted;  // (row, place among those asked for), by rows
    for (Index place = 0; place < count; ++place) {
      const Index row = rows[static_cast<size_t>(place)];
      if (row < -length || row >= length) {
        value_error(kName, ": rows holds ", row, " but must hold ", -length, " to ", length - 1, ": there are ", length,
                    " queries");
      }
      wanted.emplace_back(row < 0 ? row + length : row, place);
    }
    std::sort(wanted.begin(), wanted.end());
    Shape shape = with_last(q.shape(), keys);
    shape[-2] = count;
    const Tensor out = Tensor::empty(shape, q.dtype());
    dispatch_float("attention", "q", q, [&](auto zero) {
      using T = decltype(zero);
      const auto& kernel = kernels::attention_kernels<T>();
      count_multiply_adds(out.size() * q.dim(-1));
      for_score_blocks<T>(q, k, options, [&](const auto& head, Index bh, Index begin, Index end) {
        auto next = std::lower_bound(wanted.begin(), wanted.end(), std::pair(begin, Index{0}));
        if (next == wanted.end() || next->first >= end) return;
        // A block is computed as attention computes it, and the rows that were asked for are kept.
        const auto size = static_cast<size_t>(kernel.panel);
        Scratch<T> scratch(static_cast<size_t>(kernel.forward_scratch(head.d, 0, keys)));
        Scratch<T> weights(size * static_cast<size_t>(keys)), statistics(2 * size);
        while (next != wanted.end() && next->first < end) {
          const Index first = next->first / kernel.panel * kernel.panel, last = std::min(end, first + kernel.panel);
          // The kernel counts rows of its results from 0.
          kernel.forward(head, first, last, nullptr, 0, statistics.get() - first,
                         statistics.get() + kernel.panel - first, weights.get() - first * keys, keys, scratch.get());
          for (; next != wanted.end() && next->first < last; ++next) {
            std::copy_n(weights.get() + (next->first - first) * keys, keys,
                        out.data<T>() + (bh * count + next->second) * keys);
          }
        }
      });
    });
    return out;
  });
}

}  // namespace attendo
