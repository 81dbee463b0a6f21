// QK-norm: queries and keys are normalised before their products
//
//   l2    y = x / ‖x‖                    dx = (dy - y (y·dy)) / ‖x‖                    (0 where x = 0)
//   rms   y = w x̂,  x̂ = x r,  r = 1/√(mean x² + ε)
//         dx = r (g - x̂ mean(g x̂)),  g = w dy         dw = Σ_rows dy x̂
//
// x, y: (…, H, N, D), a row at a time.  w: (D,) or (H, D).  Squares are taken of x / max |x|: no row is too long or too short.
// A row whose gradient is 0 gets 0, whatever it holds.   Henry et al. 2020; Zhang and Sennrich 2019; Gemma 3, Qwen 3.
#include "attention/qk_norm.h"

#include <cmath>
#include <limits>

#include "core/parallel.h"

namespace attendo {
namespace {

struct RowNorm {
  Tensor x, weight;
  Tensor rate;  // (rows,): 1 / ‖x‖ or r; 0 for a row of zeros
  Index rows = 0, n = 0, per_head = 0, heads = 1;
  bool rms = false;
  double eps = 0;

  // Elements of the weight before that of this row.
  Index weight_at(Index row) const { return weight.rank() == 2 ? row / per_head % heads * n : 0; }
};

constexpr Index kLanes = 8;  // sums in so many parts, for the compiler's vectors

template <typename T>
T dot(const T* a, const T* b, Index n) {
  T part[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Index c = 0; c < kLanes; ++c) part[c] += a[i + c] * b[i + c];
  }
  for (; i < n; ++i) part[i % kLanes] += a[i] * b[i];
  T sum = T(0);
  for (const T p : part) sum += p;
  return sum;
}

// 1 / ‖x‖ or r
template <typename T>
T row_rate(const T* x, Index n, bool rms, double eps) {
  T largest = T(0);
  bool broken = false;
  for (Index i = 0; i < n; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    broken = broken || !(std::abs(x[i]) <= std::numeric_limits<T>::max());
  }
  if (broken) return std::numeric_limits<T>::quiet_NaN();
  const T root = static_cast<T>(std::sqrt(eps)), unit = rms ? std::max(largest, root) : largest;
  if (unit == T(0)) return T(0);
  T part[kLanes] = {};
  for (Index i = 0; i < n; ++i) part[i % kLanes] += (x[i] / unit) * (x[i] / unit);
  T squares = T(0);
  for (const T p : part) squares += p;
  if (rms) squares = squares / static_cast<T>(n) + (root / unit) * (root / unit);
  const T rate = T(1) / unit / std::sqrt(squares);
  return std::isinf(rate) ? T(0) : rate;  // shorter than any normal number: as if 0
}

template <typename T>
void row_norm_forward(T* y, T* rate, const RowNorm& s) {
  const Index n = s.n;
  parallel_ranges(s.rows, rows_per_task(8 * n), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* x = s.x.data<T>() + r * n;
      const T* w = s.weight ? s.weight.data<T>() + s.weight_at(r) : nullptr;
      rate[r] = row_rate(x, n, s.rms, s.eps);
      for (Index i = 0; i < n; ++i) {
        const T unit = x[i] * rate[r];
        y[r * n + i] = w == nullptr ? unit : w[i] * unit;
      }
    }
  });
}

// dw is summed in shards of rows, added in order.
template <typename T>
void row_norm_backward(T* d_x, T* d_weight, const T* d_y, const RowNorm& s) {
  const Index n = s.n;
  const Shards shards(s.rows, rows_per_task(8 * n));
  const Index w_size = d_weight == nullptr ? 0 : s.weight.size();
  Scratch<T> sums(static_cast<size_t>(shards.count * w_size));
  std::fill_n(sums.get(), shards.count * w_size, T(0));
  parallel_for(shards.count, [&](Index shard) {
    Scratch<T> scratch(static_cast<size_t>(2 * n));
    T *unit = scratch.get(), *g = unit + n;
    const Index end = std::min(s.rows, (shard + 1) * shards.rows);
    for (Index r = shard * shards.rows; r < end; ++r) {
      const T* x = s.x.data<T>() + r * n;
      const T* dy = d_y + r * n;
      T* dx = d_x + r * n;
      const T rate = s.rate.data<T>()[r];
      const bool none = std::all_of(dy, dy + n, [](T v) { return v == T(0); });
      if (none || rate == T(0)) {
        std::fill_n(dx, n, T(0));
        continue;
      }
      const T* w = s.weight ? s.weight.data<T>() + s.weight_at(r) : nullptr;
      for (Index i = 0; i < n; ++i) {
        unit[i] = x[i] * rate;
        g[i] = w == nullptr ? dy[i] : w[i] * dy[i];
      }
      const T along = s.rms ? dot(unit, g, n) / static_cast<T>(n) : dot(unit, g, n);
      for (Index i = 0; i < n; ++i) dx[i] = rate * (g[i] - unit[i] * along);
      if (d_weight == nullptr) continue;
      T* total = sums.get() + shard * w_size + s.weight_at(r);
      for (Index i = 0; i < n; ++i) total[i] += dy[i] * unit[i];
    }
  });
  for (Index i = 0; i < w_size; ++i) d_weight[i] = T(0);
  for (Index shard = 0; shard < shards.count; ++shard) {
    for (Index i = 0; i < w_size; ++i) d_weight[i] += sums.get()[shard * w_size + i];
  }
}

Tensor row_norm(RowNorm s) {
  s.n = s.x.dim(-1), s.per_head = s.x.dim(-2), s.heads = s.x.rank() >= 3 ? s.x.dim(-3) : 1;
  s.rows = s.x.shape().product(0, s.x.rank() - 1);
  s.rate = Tensor::empty({s.rows}, s.x.dtype());
  const Tensor y = Tensor::empty(s.x.shape(), s.x.dtype());
  dispatch_float("attention", "q", s.x, [&](auto zero) {
    using T = decltype(zero);
    row_norm_forward<T>(y.data<T>(), s.rate.data<T>(), s);
  });
  if (!needs_grad({&s.x, &s.weight})) return y;
  record("attention with qk_norm or score='cosine'", {s.x, s.weight}, {y}, [s](const Tensors& d) {
    const Tensor d_x = Tensor::empty(s.x.shape(), s.x.dtype());
    const Tensor d_weight =
        s.weight && s.weight.requires_grad() ? Tensor::empty(s.weight.shape(), s.x.dtype()) : Tensor();
    dispatch_float("attention", "q", s.x, [&](auto zero) {
      using T = decltype(zero);
      row_norm_backward<T>(d_x.data<T>(), data_or_null<T>(d_weight), d[0].data<T>(), s);
    });
    accumulate(s.x, d_x);
    accumulate(s.weight, d_weight);
  });
  return y;
}

}  // namespace

Tensor l2_normalize(const Tensor& x) {
  RowNorm s;
  s.x = x;
  return row_norm(s);
}

Tensor rms_normalize(const char* name, const Tensor& x, const Tensor& weight, double eps) {
  RowNorm s;
  s.x = x, s.weight = weight, s.rms = true, s.eps = eps;
  if (weight) {
    check_float("attention", name, weight);
    check_same_dtype("attention", name, weight, "q", x);
    const Index heads = x.rank() >= 3 ? x.dim(-3) : 1;
    if (weight.rank() < 1 || weight.rank() > 2 || weight.dim(-1) != x.dim(-1) ||
        (weight.rank() == 2 && weight.dim(0) != heads)) {
      value_error("attention: ", name, " has shape ", weight.shape(), " but must be (", x.dim(-1), ",) or (", heads,
                  ", ", x.dim(-1), ")");
    }
  }
  return row_norm(s);
}

std::pair<Tensor, Tensor> qk_norm(const Tensor& q, const Tensor& k, const QkNormOptions& options) {
  switch (options.norm) {
    case QkNorm::kRms:
      return {rms_normalize("q_weight", q, options.q_weight, options.eps),
              rms_normalize("k_weight", k, options.k_weight, options.eps)};
    case QkNorm::kL2: return {l2_normalize(q), l2_normalize(k)};
    case QkNorm::kNone: break;
  }
  return {q, k};
}

}  // namespace attendo
