// Rotary position embedding
//
//   forward    (y_a, y_b)   = (x_a cos φ - x_b sin φ,  x_b cos φ + x_a sin φ),   φ = position · f_k
//   backward   (dx_a, dx_b) = (dy_a cos φ + dy_b sin φ,  dy_b cos φ - dy_a sin φ)     (the turn by -φ)
//
// Pair k = (a, b) is (k, k + r/2), or (2k, 2k + 1) where interleaved; f_k = base^(-2k/r), k < r/2. Features from r on stay.
// x, y: (…, H, L, D).  positions: (L,) or (…, L).  Angles are computed in float64 and their cosines rounded, so that large
// positions are as exact as small ones. Kept: the cosines and sines (…, L, r/2).
// Su et al. 2021, eq. 34; ONNX RotaryEmbedding-23.  Frequencies for longer contexts: Chen et al. 2023 (linear), Peng et al.
// 2023 (NTK-aware, YaRN), Llama 3.1 (by wavelength).
#include "attention/rotary.h"

#include <cmath>
#include <numbers>

#include "core/parallel.h"

namespace attendo {
namespace {

struct Problem {
  Index batch = 1, heads = 1, length = 0, d = 0, pairs = 0;
  bool interleaved = false;
  bool side_by_side = false;  // x is (B, L, H·D), not (…, H, L, D)
  bool by_batch = false;      // one row of the table for each (batch, position), else for each position
  Tensor table;               // (2, rows, pairs): cosines, sines
  Index table_rows() const { return by_batch ? batch * length : length; }
  // The row of the table for row (b, h, i), or (b, i, h), of x.
  Index table_row(Index row) const {
    if (side_by_side) return by_batch ? row / heads : row / heads % length;
    const Index i = row % length;
    return by_batch ? row / (heads * length) * length + i : i;
  }
};

template <typename T>
void turn_row(T* y, const T* x, const T* cos, const T* sin, T sign, const Problem& p) {
  if (p.interleaved) {
    for (Index k = 0; k < p.pairs; ++k) {
      const T a = x[2 * k], b = x[2 * k + 1], s = sign * sin[k];
      y[2 * k] = a * cos[k] - b * s;
      y[2 * k + 1] = b * cos[k] + a * s;
    }
  } else {
    const T* x_b = x + p.pairs;
    T* y_b = y + p.pairs;
    for (Index k = 0; k < p.pairs; ++k) {
      const T a = x[k], b = x_b[k], s = sign * sin[k];
      y[k] = a * cos[k] - b * s;
      y_b[k] = b * cos[k] + a * s;
    }
  }
  std::copy(x + 2 * p.pairs, x + p.d, y + 2 * p.pairs);
}

// sign 1: forward; -1: backward.
template <typename T>
void rotary_turn(T* y, const T* x, T sign, const Problem& p) {
  const Index rows = p.batch * p.heads * p.length;
  const T* cos = p.table.data<T>();
  const T* sin = cos + p.table_rows() * p.pairs;
  parallel_ranges(rows, rows_per_task(4 * p.d), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const Index at = p.table_row(row);
      turn_row(y + row * p.d, x + row * p.d, cos + at * p.pairs, sin + at * p.pairs, sign, p);
    }
  });
}

Index position_of(const RotaryOptions& o, Index row) {
  return o.positions ? static_cast<Index>(o.positions.data<std::int64_t>()[row]) : o.offset + row;
}

template <typename T>
void fill_table(const RotaryOptions& o, const std::vector<double>& frequencies, const Problem& p) {
  T* cos = p.table.data<T>();
  T* sin = cos + p.table_rows() * p.pairs;
  parallel_ranges(p.table_rows(), rows_per_task(50 * p.pairs), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const auto position = static_cast<double>(position_of(o, row));
      for (Index k = 0; k < p.pairs; ++k) {
        const double angle = position * frequencies[static_cast<size_t>(k)];
        cos[row * p.pairs + k] = static_cast<T>(std::cos(angle));
        sin[row * p.pairs + k] = static_cast<T>(std::sin(angle));
      }
    }
  });
}

// Rows of the caller's cosines and sines.
template <typename T>
void copy_table(const RotaryOptions& o, bool by_position, const Problem& p) {
  const Tensor* sources[] = {&o.cos, &o.sin};
  for (int half = 0; half < 2; ++half) {
    T* to = p.table.data<T>() + half * p.table_rows() * p.pairs;
    const T* from = sources[half]->data<T>();
    for (Index row = 0; row < p.table_rows(); ++row) {
      const Index at = by_position ? position_of(o, row) : row;
      std::copy_n(from + at * p.pairs, p.pairs, to + row * p.pairs);
    }
  }
}

Shape lead_of(const Tensor& x) { return x.shape().slice(0, std::max(0, x.rank() - 3)); }

void check_positions(const RotaryOptions& o, const Shape& lead, const Tensor& x, Problem& p) {
  constexpr Index kFar = Index{1} << 52;
  if (o.offset < -kFar || o.offset > kFar) value_error("rotary: offset is ", o.offset, ", which is out of range");
  if (!o.positions) return;
  if (o.offset != 0) value_error("rotary: offset is ", o.offset, " but positions are given, which it would not change");
  if (o.positions.dtype() != DType::kInt64) {
    type_error("rotary: positions has dtype ", dtype_name(o.positions.dtype()), " but must be integers");
  }
  Shape all = lead;
  all.push_back(p.length);
  p.by_batch = all.rank() > 1 && o.positions.shape() == all;
  if (!p.by_batch && !(o.positions.shape() == Shape{p.length})) {
    value_error("rotary: positions has shape ", o.positions.shape(), " but must have ", Shape{p.length},
                all.rank() > 1 ? concat(" or ", all) : std::string(), " for x of shape ", x.shape());
  }
}

// True where the rows of cos and sin are chosen by position.
bool check_caches(const RotaryOptions& o, const Shape& lead, const Tensor& x, Problem& p) {
  if (!o.cos || !o.sin) value_error("rotary: ", o.cos ? "sin" : "cos", " is missing; cos and sin go together");
  const std::pair<const char*, const Tensor*> caches[] = {{"cos", &o.cos}, {"sin", &o.sin}};
  for (const auto& [name, cache] : caches) {
    check_float("rotary", name, *cache);
    check_same_dtype("rotary", name, *cache, "x", x);
    check_min_rank("rotary", name, *cache, 2, "(P, rotary_dim / 2)");
    if (cache->requires_grad()) value_error("rotary: ", name, " requires a gradient, but cos and sin get none");
  }
  check_shape("rotary", "sin", o.sin, o.cos.shape());
  if (!o.frequencies.empty()) value_error("rotary: frequencies are given as well as cos and sin; give one of them");
  const Index pairs = o.cos.dim(-1);
  if (2 * pairs > p.d) {
    value_error("rotary: cos has ", pairs, " columns, one a pair, but x has ", p.d, " features");
  }
  if (o.rotary_dim != kAllFeatures && o.rotary_dim != 2 * pairs) {
    value_error("rotary: cos has ", pairs, " columns but rotary_dim is ", o.rotary_dim, ", which has ",
                o.rotary_dim / 2, " pairs");
  }
  p.pairs = pairs;
  if (o.cos.rank() > 2) {
    Shape all = lead;
    all.push_back(p.length);
    all.push_back(pairs);
    check_shape("rotary", "cos", o.cos, all);
    if (o.positions || o.offset != 0) {
      value_error("rotary: ", o.positions ? "positions are" : "offset is", " given, but cos of shape ", o.cos.shape(),
                  " has a row for each position of x already");
    }
    p.by_batch = true;
    return false;
  }
  const Index held = o.cos.dim(0);
  for (Index row = 0; row < p.table_rows(); ++row) {
    const Index position = position_of(o, row);
    if (position < 0 || position >= held) {
      value_error("rotary: position ", position, " must be 0 to ", held - 1, " (cos has ", held, " rows)");
    }
  }
  return true;
}

void check_rotary_dim(const RotaryOptions& o, Problem& p) {
  const Index r = o.rotary_dim == kAllFeatures
                      ? (o.frequencies.empty() ? p.d : 2 * static_cast<Index>(o.frequencies.size()))
                      : o.rotary_dim;
  if (o.rotary_dim == kAllFeatures && o.frequencies.empty() && p.d % 2 != 0) {
    value_error("rotary: x has ", p.d, " features, which are not pairs; give rotary_dim, how many of them to turn");
  }
  if (r < 0 || r % 2 != 0) value_error("rotary: rotary_dim is ", r, " but must be even and 0 or more");
  if (r > p.d) value_error("rotary: rotary_dim is ", r, " but x has ", p.d, " features");
  if (!o.frequencies.empty() && static_cast<Index>(o.frequencies.size()) != r / 2) {
    value_error("rotary: frequencies has ", o.frequencies.size(), " entries but rotary_dim is ", r, ", which has ",
                r / 2, " pairs");
  }
  p.pairs = r / 2;
}

void check_base(const char* op, double base) {
  if (!(base > 0) || !std::isfinite(base)) value_error(op, ": base is ", base, " but must be positive and finite");
}

// x turned by sign · φ; the gradient is turned back.
Tensor turned(const Tensor& x, int sign, const Problem& p) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  dispatch_float("rotary", "x", x, [&](auto zero) {
    using T = decltype(zero);
    rotary_turn<T>(y.data<T>(), x.data<T>(), static_cast<T>(sign), p);
  });
  if (!needs_grad({&x})) return y;
  record("rotary", {x}, {y}, Twice::kYes, [x, sign, p](const Tensors& d) { accumulate(x, turned(d[0], -sign, p)); });
  return y;
}

// p has the sizes of x. lead: the axes before heads and positions.
Tensor rotary(const Tensor& x, const Shape& lead, const RotaryOptions& options, Problem p) {
  check_base("rotary", options.base);
  p.interleaved = options.interleaved;
  check_positions(options, lead, x, p);
  const bool cached = options.cos || options.sin;
  const bool by_position = cached && check_caches(options, lead, x, p);
  if (!cached) check_rotary_dim(options, p);
  p.table = Tensor::empty({2, p.table_rows(), p.pairs}, x.dtype());
  dispatch_float("rotary", "x", x, [&](auto zero) {
    using T = decltype(zero);
    if (cached) {
      copy_table<T>(options, by_position, p);
    } else {
      fill_table<T>(
          options,
          options.frequencies.empty() ? inverse_frequencies(2 * p.pairs, options.base, {}) : options.frequencies, p);
    }
  });
  return turned(x, 1, p);
}

}  // namespace

Tensor rotary(const Tensor& x, const RotaryOptions& options) {
  check_float("rotary", "x", x);
  check_min_rank("rotary", "x", x, 2, "(..., length, features)");
  const Shape lead = lead_of(x);
  Problem p;
  p.length = x.dim(-2), p.d = x.dim(-1);
  if (x.rank() >= 3) p.heads = x.dim(-3);
  p.batch = lead.size();
  return rotary(x, lead, options, p);
}

Tensor rotary_heads(const Tensor& x, Index head_dim, const RotaryOptions& options) {
  check_float("rotary", "x", x);
  check_rank("rotary", "x", x, 3, "(batch, length, features)");
  if (head_dim < 1 || x.dim(2) % head_dim != 0) {
    value_error("rotary: x has ", x.dim(2), " features, which are not heads of ", head_dim);
  }
  Problem p;
  p.side_by_side = true;
  p.batch = x.dim(0), p.length = x.dim(1), p.heads = x.dim(2) / head_dim, p.d = head_dim;
  return rotary(x, {p.batch}, options, p);
}

// ---- frequencies ----------------------------------------------------------------------------------------------------

std::vector<double> inverse_frequencies(Index dim, double base, const FrequencyScaling& s) {
  const char* op = "inverse_frequencies";
  constexpr double kTurn = 2 * std::numbers::pi;
  using Kind = FrequencyScaling::Kind;
  if (dim < 0 || dim % 2 != 0) value_error(op, ": dim is ", dim, " but must be even and 0 or more");
  if (dim > kMaxElements) value_error(op, ": dim is ", dim, ", which is out of range");
  check_base(op, base);
  if (s.kind != Kind::kNone && (!(s.factor >= 1) || !std::isfinite(s.factor))) {
    value_error(op, ": factor is ", s.factor, " but must be 1 or more");
  }
  const auto d = static_cast<double>(dim);
  if (s.kind == Kind::kNtk && dim > 2) base *= std::pow(s.factor, d / (d - 2));
  std::vector<double> f(static_cast<size_t>(dim / 2));
  for (size_t k = 0; k < f.size(); ++k) f[k] = std::pow(base, -2 * static_cast<double>(k) / d);
  if (s.kind == Kind::kLinear) {
    for (double& one : f) one /= s.factor;
  }
  if (s.kind != Kind::kLlama3 && s.kind != Kind::kYarn) return f;
  if (!(s.original_length > 0) || !std::isfinite(s.original_length)) {
    value_error(op, ": original_max_position_embeddings is ", s.original_length, " but must be positive");
  }
  if (!(s.low > 0) || !(s.high > s.low) || !std::isfinite(s.high)) {
    const bool yarn = s.kind == Kind::kYarn;
    value_error(op, ": ", yarn ? "beta_slow" : "low_freq_factor", " is ", s.low, " and ",
                yarn ? "beta_fast" : "high_freq_factor", " is ", s.high,
                "; the first must be positive and the smaller");
  }
  if (s.kind == Kind::kLlama3) {
    for (double& one : f) {  // turns within the original length decide: many stay, few are stretched
      const double turns = s.original_length * one / kTurn;
      const double kept = std::clamp((turns - s.low) / (s.high - s.low), 0.0, 1.0);
      one = (1 - kept) * one / s.factor + kept * one;
    }
    return f;
  }
  // The pair that makes `turns` turns within the original length.
  auto pair_of = [&](double turns) { return d * std::log(s.original_length / (turns * kTurn)) / (2 * std::log(base)); };
  const double low = std::max(std::floor(pair_of(s.high)), 0.0);
  double high = std::min(std::ceil(pair_of(s.low)), d - 1);
  if (high == low) high += 0.001;
  for (size_t k = 0; k < f.size(); ++k) {
    const double stretched = std::clamp((static_cast<double>(k) - low) / (high - low), 0.0, 1.0);
    f[k] = f[k] / s.factor * stretched + f[k] * (1 - stretched);
  }
  return f;
}

}  // namespace attendo
