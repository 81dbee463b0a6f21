// T5's relative position bias: a trained number for each head and bucket of distances
//
//   forward    b_hij = t_{bucket(j - i - q_offset), h}
//   backward   dt_kh = Σ_{i,j: bucket = k} db_hij
//
//   n = |j - i|, exact = K/2:  bucket = n below exact, else min(K - 1, exact + ⌊(K - exact) log(n / exact) / log(max_distance / exact)⌋)
//   Bidirectional: K is half the buckets, those of keys after the query are the upper half. Else all keys after it are n = 0.
//
// t: (num_buckets, H).  b: (H, L, S), added to the scores, which T5 does not scale.   Raffel et al. 2020, §2.1.
//
// The gradient is that of its parts: a row of the table for each distance, each distance along its diagonal.
#include "attention/t5_bias.h"

#include <cmath>

#include "attention/relative_bias.h"
#include "ops/embedding.h"
#include "ops/shape.h"

namespace attendo {

void T5Buckets::check(const char* op) const {
  const Index least = bidirectional ? 4 : 2;
  if (num_buckets < least || (bidirectional && num_buckets % 2 != 0)) {
    value_error(op, ": num_buckets is ", num_buckets, " but must be ", bidirectional ? "even and " : "", least,
                " or more", bidirectional ? " in both directions" : "");
  }
  const Index exact = (bidirectional ? num_buckets / 2 : num_buckets) / 2;
  if (max_distance <= exact) {
    value_error(op, ": max_distance is ", max_distance, " but must be more than ", exact,
                ", the distances that have a bucket of their own");
  }
}

Index T5Buckets::operator()(Index relative) const {
  Index count = num_buckets, base = 0;
  if (bidirectional) {
    count /= 2;
    if (relative > 0) base = count;
    relative = std::abs(relative);
  } else {
    relative = relative < 0 ? -relative : 0;
  }
  const Index exact = count / 2;
  if (relative < exact) return base + relative;
  if (relative >= max_distance) return base + count - 1;
  // In float32, as T5 was trained: at the borders of the buckets rounding decides.
  const float ratio = static_cast<float>(relative) / static_cast<float>(exact);
  const float logarithm = static_cast<float>(std::log(static_cast<double>(ratio)));
  const auto range = static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto step = static_cast<Index>(logarithm / range * static_cast<float>(count - exact));
  return base + std::min(count - 1, exact + step);
}

Tensor t5_buckets(const Tensor& relative, const T5Buckets& buckets) {
  constexpr Index kFar = Index{1} << 62;
  buckets.check("t5_buckets");
  if (relative.dtype() != DType::kInt64) {
    type_error("t5_buckets: relative_position has dtype ", dtype_name(relative.dtype()), " but must be integers");
  }
  Tensor y = Tensor::empty(relative.shape(), DType::kInt64);
  const auto* x = relative.data<std::int64_t>();
  for (Index i = 0; i < relative.size(); ++i) {
    y.data<std::int64_t>()[i] = buckets(std::clamp<Index>(x[i], -kFar, kFar));
  }
  return y;
}

Tensor t5_bias(const Tensor& table, Index length, Index keys, Index q_offset, T5Buckets buckets) {
  constexpr Index kFar = Index{1} << 40;
  check_float("t5_bias", "table", table);
  check_rank("t5_bias", "table", table, 2, "(num_buckets, num_heads)");
  buckets.num_buckets = table.dim(0);
  buckets.check("t5_bias");
  if (length < 0) value_error("t5_bias: length is ", length, " but must be 0 or more");
  if (keys < 0) value_error("t5_bias: keys is ", keys, " but must be 0 or more");
  if (q_offset < -kFar || q_offset > kFar) value_error("t5_bias: q_offset is ", q_offset, ", which is out of range");
  // Every distance from that of the last query and the first key on.
  const bool empty = Shape{table.dim(1), length, keys}.size() == 0;  // throws where no memory would do
  const Tensor ids = Tensor::empty({empty ? 1 : length + keys - 1}, DType::kInt64);
  for (Index r = 0; r < ids.size(); ++r) ids.data<std::int64_t>()[r] = buckets(r - (length - 1) - q_offset);
  const Tensor of_distance = swap_axes(embedding(ids, table), 0, 1);  // (H, L + S - 1)
  return relative_bias(of_distance, length, keys, 0, length - 1);
}

}  // namespace attendo
