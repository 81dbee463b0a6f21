// Attention with linear biases
//
//   forward    b_hij = -m_h |i + q_offset - j|
//   backward   dm_h  = -Σ_ij db_hij |i + q_offset - j|
//
//   m_h = 2^(-8 (h + 1) / H) for H a power of two; else those of the power P below, then every other one of 2 P's.
//
// m: (H,).  b: (H, L, S), added to the scores. Behind a causal mask |i - j| is i - j.   Press et al. 2022, §3.
#include "attention/alibi.h"

#include <cmath>

#include "core/parallel.h"

namespace attendo {
namespace {

template <typename T>
void alibi_forward(T* y, const T* slopes, Index heads, Index length, Index keys, Index q_offset) {
  parallel_ranges(heads * length, rows_per_task(keys), [=](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T slope = -slopes[row / length];
      const Index i = row % length + q_offset;
      for (Index j = 0; j < keys; ++j) y[row * keys + j] = slope * static_cast<T>(std::abs(i - j));
    }
  });
}

template <typename T>
void alibi_backward(T* d_slopes, const T* d_y, Index heads, Index length, Index keys, Index q_offset) {
  const Shards shards(length, rows_per_task(keys));
  Scratch<double> partial(static_cast<size_t>(heads * shards.count));
  parallel_for(heads * shards.count, [&](Index part) {
    const Index h = part / shards.count, first = part % shards.count * shards.rows;
    double sum = 0;
    for (Index i = first; i < std::min(length, first + shards.rows); ++i) {
      const T* row = d_y + (h * length + i) * keys;
      double of_row = 0;
      for (Index j = 0; j < keys; ++j) {
        of_row += static_cast<double>(row[j]) * static_cast<double>(std::abs(i + q_offset - j));
      }
      sum += of_row;
    }
    partial.get()[part] = sum;
  });
  for (Index h = 0; h < heads; ++h) {
    double sum = 0;
    for (Index s = 0; s < shards.count; ++s) sum += partial.get()[h * shards.count + s];
    d_slopes[h] = static_cast<T>(-sum);
  }
}

}  // namespace

Tensor alibi(const Tensor& slopes, Index length, Index keys, Index q_offset) {
  constexpr Index kFar = Index{1} << 40;
  check_float("alibi", "slopes", slopes);
  check_rank("alibi", "slopes", slopes, 1, "(num_heads,)");
  if (length < 0) value_error("alibi: length is ", length, " but must be 0 or more");
  if (keys < 0) value_error("alibi: keys is ", keys, " but must be 0 or more");
  if (q_offset < -kFar || q_offset > kFar) value_error("alibi: q_offset is ", q_offset, ", which is out of range");
  const Index heads = slopes.dim(0);
  Tensor y = Tensor::empty({heads, length, keys}, slopes.dtype());
  dispatch_float("alibi", "slopes", slopes, [&](auto zero) {
    using T = decltype(zero);
    alibi_forward<T>(y.data<T>(), slopes.data<T>(), heads, length, keys, q_offset);
  });
  if (!needs_grad({&slopes})) return y;
  record("alibi", {slopes}, {y}, [=](const Tensors& d) {
    const Tensor d_slopes = Tensor::empty(slopes.shape(), slopes.dtype());
    dispatch_float("alibi", "slopes", slopes, [&](auto zero) {
      using T = decltype(zero);
      alibi_backward<T>(d_slopes.data<T>(), d[0].data<T>(), heads, length, keys, q_offset);
    });
    accumulate(slopes, d_slopes);
  });
  return y;
}

std::vector<double> alibi_slopes(Index num_heads) {
  constexpr Index kMost = Index{1} << 20;
  if (num_heads < 1 || num_heads > kMost) {
    value_error("alibi_slopes: num_heads is ", num_heads, " but must be 1 to ", kMost);
  }
  Index power = 1;
  while (2 * power <= num_heads) power *= 2;
  std::vector<double> slopes;
  for (Index h = 0; h < num_heads; ++h) {
    const Index of = h < power ? power : 2 * power, step = h < power ? h + 1 : 2 * (h - power) + 1;
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(step) / static_cast<double>(of)));
  }
  return slopes;
}

}  // namespace attendo
