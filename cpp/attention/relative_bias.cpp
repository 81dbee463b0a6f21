// Values by relative position: tables and products with one entry for each distance of a key from its query
//
//   e(i, j) = clip(zero + j - (i + q_offset), 0, R - 1)
//
//   relative_bias    b_ij = t_e(i,j)            backward   dt_e  = Σ_{i,j: e(i,j) = e} db_ij      (sums along diagonals)
//   relative_shift   y_ij = x_i,e(i,j)                     dx_ie = Σ_{j: e(i,j) = e} dy_ij
//   relative_products  r_ie = f x_i·a_e                    dx_i  = f Σ_e dr_ie a_e      da_e = f Σ_i dr_ie x_i
//
// t: (…, R).  x: (…, L, R), in relative_products (…, H, L, D).  a: (R, D) or (H, R, D).  b, y, s: (…, L, S).
// Shaw et al. 2018, eq. 4; Huang et al. 2019, §3.4.1 (the skewing); Dai et al. 2019, appendix B (the relative shift).
#include "attention/relative_bias.h"

#include <cmath>

#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/gemm.h"
#include "ops/shape.h"

namespace attendo {
namespace {

// Of row i: keys before `inside` read entry 0, from `after` on entry R - 1, those between read first - i + j.
struct RowCut {
  Index start, inside, after;
  RowCut(const RelativeAxis& axis, Index i)
      : start(axis.first - i),
        inside(std::clamp<Index>(-start, 0, axis.keys)),
        after(std::clamp<Index>(axis.count - start, inside, axis.keys)) {}
};

template <typename T>
void read_row(T* y, const T* x, const RelativeAxis& axis, Index i, T factor) {
  const RowCut cut(axis, i);
  std::fill(y, y + cut.inside, factor * x[0]);
  const T* from = x + cut.start;
  for (Index j = cut.inside; j < cut.after; ++j) y[j] = factor * from[j];
  std::fill(y + cut.after, y + axis.keys, factor * x[axis.count - 1]);
}

// d_x += factor · what reads it; Sum is T, or double where many rows come together.
template <typename T, typename Sum>
void add_row(Sum* d_x, const T* d_y, const RelativeAxis& axis, Index i, T factor) {
  const RowCut cut(axis, i);
  double low = 0, high = 0;
  for (Index j = 0; j < cut.inside; ++j) low += static_cast<double>(d_y[j]);
  for (Index j = cut.after; j < axis.keys; ++j) high += static_cast<double>(d_y[j]);
  if (cut.inside > 0) d_x[0] += static_cast<Sum>(low * static_cast<double>(factor));
  Sum* to = d_x + cut.start;
  for (Index j = cut.inside; j < cut.after; ++j) to[j] += static_cast<Sum>(factor * d_y[j]);
  if (cut.after < axis.keys) d_x[axis.count - 1] += static_cast<Sum>(high * static_cast<double>(factor));
}

template <typename T>
void relative_bias_forward(T* y, const T* table, const RelativeAxis& axis, Index tables) {
  parallel_ranges(tables * axis.length, rows_per_task(axis.keys), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      read_row(y + row * axis.keys, table + row / axis.length * axis.count, axis, row % axis.length, T(1));
    }
  });
}

template <typename T>
void relative_bias_backward(T* d_table, const T* d_y, const RelativeAxis& axis, Index tables) {
  const Shards shards(axis.length, rows_per_task(axis.keys));
  Scratch<double> partial(static_cast<size_t>(tables * shards.count * axis.count));
  parallel_for(tables * shards.count, [&](Index part) {
    double* sum = partial.get() + part * axis.count;
    std::fill_n(sum, axis.count, 0.0);
    const Index table = part / shards.count, begin = part % shards.count * shards.rows;
    for (Index i = begin; i < std::min(axis.length, begin + shards.rows); ++i) {
      add_row(sum, d_y + (table * axis.length + i) * axis.keys, axis, i, T(1));
    }
  });
  for (Index table = 0; table < tables; ++table) {
    for (Index e = 0; e < axis.count; ++e) {
      double sum = 0;
      for (Index s = 0; s < shards.count; ++s) sum += partial.get()[(table * shards.count + s) * axis.count + e];
      d_table[table * axis.count + e] = static_cast<T>(sum);
    }
  }
}

}  // namespace

template <typename T>
void relative_shift_forward(T* y, const T* x, const RelativeAxis& axis, Index rows, T factor) {
  parallel_ranges(rows, rows_per_task(axis.keys), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      read_row(y + row * axis.keys, x + row * axis.count, axis, row % axis.length, factor);
    }
  });
}

template <typename T>
void relative_shift_backward(T* d_x, const T* d_y, const RelativeAxis& axis, Index rows, T factor) {
  parallel_ranges(rows, rows_per_task(axis.keys + axis.count), [&](Index begin, Index end) {
    std::fill(d_x + begin * axis.count, d_x + end * axis.count, T(0));
    for (Index row = begin; row < end; ++row) {
      add_row(d_x + row * axis.count, d_y + row * axis.keys, axis, row % axis.length, factor);
    }
  });
}

template void relative_shift_forward(float*, const float*, const RelativeAxis&, Index, float);
template void relative_shift_forward(double*, const double*, const RelativeAxis&, Index, double);
template void relative_shift_backward(float*, const float*, const RelativeAxis&, Index, float);
template void relative_shift_backward(double*, const double*, const RelativeAxis&, Index, double);

namespace {

constexpr Index kFar = Index{1} << 40;

RelativeAxis make_axis(const char* op, Index length, Index keys, Index count, Index q_offset, Index zero) {
  if (length < 0) value_error(op, ": length is ", length, " but must be 0 or more");
  if (keys < 0) value_error(op, ": keys is ", keys, " but must be 0 or more");
  if (q_offset < -kFar || q_offset > kFar) value_error(op, ": q_offset is ", q_offset, ", which is out of range");
  if (zero < -kFar || zero > kFar) value_error(op, ": zero is ", zero, ", which is out of range");
  return {length, keys, count, zero - q_offset};
}

Shape with_last(const Shape& lead, std::initializer_list<Index> last) {
  Shape shape = lead;
  for (const Index dim : last) shape.push_back(dim);
  return shape;
}

template <typename T>
bool all_finite(const Tensor& x) {
  return std::all_of(x.data<T>(), x.data<T>() + x.size(), [](T value) { return std::isfinite(value); });
}

// x (rows, n); where it holds NaN or inf, a copy with zeros in the rows n for which used(n) is false.
template <typename T, typename Used>
Tensor only_used(const Tensor& x, Index n, const Used& used) {
  if (all_finite<T>(x)) return x;
  const Tensor out = x.clone();
  for (Index row = 0; row < x.size() / n; ++row) {
    if (!used(row)) std::fill_n(out.data<T>() + row * n, n, T(0));
  }
  return out;
}

struct ProductsSaved {
  Tensor x, table;  // table: times the factor
  Index batch = 1, heads = 1, length = 0, d = 0, count = 0;
  bool shared = true;  // one table for all heads
  double factor = 1;
  Index rows() const { return batch * heads * length; }
  // Rows that meet the same table, one after the other.
  Index groups() const { return shared ? 1 : batch * heads; }
  Index group_rows() const { return shared ? rows() : length; }
  Index table_at(Index group) const { return shared ? 0 : group % heads * count * d; }
};

template <typename T>
void relative_products_forward(T* y, const ProductsSaved& s) {
  parallel_for(s.groups(), [&](Index group) {
    Gemm<T> g;
    g.m = s.group_rows(), g.n = s.count, g.k = s.d;
    g.a_row = s.d, g.b_row = 1, g.b_col = s.d, g.c_row = s.count;
    g.a = s.x.data<T>() + group * g.m * s.d;
    g.b = s.table.data<T>() + s.table_at(group);
    g.c = y + group * g.m * s.count;
    gemm(g);
  });
}

// d_x and d_table are zeroed, or null.
template <typename T>
void relative_products_backward(T* d_x, T* d_table, const T* d_y, const ProductsSaved& s) {
  const Index rows = s.group_rows();
  if (d_x != nullptr) {
    const Tensor table = only_used<T>(s.table, s.d, [&](Index entry) {
      for (Index row = 0; row < s.rows(); ++row) {
        const bool reads = s.shared || row / s.length % s.heads == entry / s.count;
        if (reads && d_y[row * s.count + entry % s.count] != T(0)) return true;
      }
      return false;
    });
    parallel_for(s.groups(), [&](Index group) {
      Gemm<T> g;  // dx = dr · a
      g.m = rows, g.n = s.d, g.k = s.count;
      g.a_row = s.count, g.b_row = s.d, g.c_row = s.d;
      g.a = d_y + group * rows * s.count;
      g.b = table.data<T>() + s.table_at(group);
      g.c = d_x + group * rows * s.d;
      gemm(g);
    });
  }
  if (d_table == nullptr) return;
  const Tensor x = only_used<T>(s.x, s.d, [&](Index row) {
    const T* d = d_y + row * s.count;
    return !std::all_of(d, d + s.count, [](T value) { return value == T(0); });
  });
  for (Index group = 0; group < s.groups(); ++group) {  // the batch entries of a head, added in order
    Gemm<T> g;                                          // da = drᵀ · x
    g.m = s.count, g.n = s.d, g.k = rows;
    g.a_row = 1, g.a_col = s.count, g.b_row = s.d, g.c_row = s.d;
    g.a = d_y + group * rows * s.count;
    g.b = x.data<T>() + group * rows * s.d;
    g.c = d_table + s.table_at(group);
    g.add = true;
    gemm(g);
  }
  const T factor = static_cast<T>(s.factor);
  for (Index i = 0; i < s.table.size(); ++i) d_table[i] *= factor;
}

}  // namespace

Tensor relative_bias(const Tensor& table, Index length, Index keys, Index q_offset, Index zero) {
  check_float("relative_bias", "table", table);
  check_min_rank("relative_bias", "table", table, 1, "(..., R)");
  const RelativeAxis axis = make_axis("relative_bias", length, keys, table.dim(-1), q_offset, zero);
  if (axis.count < 1) value_error("relative_bias: table has shape ", table.shape(), " but must have 1 entry or more");
  const Shape lead = table.shape().slice(0, table.rank() - 1);
  const Index tables = lead.size();
  Tensor y = Tensor::empty(with_last(lead, {length, keys}), table.dtype());
  dispatch_float("relative_bias", "table", table, [&](auto zero_value) {
    using T = decltype(zero_value);
    relative_bias_forward<T>(y.data<T>(), table.data<T>(), axis, tables);
  });
  if (!needs_grad({&table})) return y;
  record("relative_bias", {table}, {y}, [table, axis, tables](const Tensors& d) {
    const Tensor d_table = Tensor::empty(table.shape(), table.dtype());
    dispatch_float("relative_bias", "table", table, [&](auto zero_value) {
      using T = decltype(zero_value);
      relative_bias_backward<T>(d_table.data<T>(), d[0].data<T>(), axis, tables);
    });
    accumulate(table, d_table);
  });
  return y;
}

Tensor relative_shift(const Tensor& x, Index keys, Index q_offset, Index zero) {
  check_float("relative_shift", "x", x);
  check_min_rank("relative_shift", "x", x, 2, "(..., L, R)");
  const RelativeAxis axis = make_axis("relative_shift", x.dim(-2), keys, x.dim(-1), q_offset, zero);
  if (axis.count < 1) value_error("relative_shift: x has shape ", x.shape(), " but must have 1 entry or more a row");
  const Shape lead = x.shape().slice(0, x.rank() - 1);
  const Index rows = lead.size();
  Tensor y = Tensor::empty(with_last(lead, {keys}), x.dtype());
  dispatch_float("relative_shift", "x", x, [&](auto zero_value) {
    using T = decltype(zero_value);
    relative_shift_forward<T>(y.data<T>(), x.data<T>(), axis, rows, T(1));
  });
  if (!needs_grad({&x})) return y;
  record("relative_shift", {x}, {y}, [x, axis, rows](const Tensors& d) {
    const Tensor d_x = Tensor::empty(x.shape(), x.dtype());
    dispatch_float("relative_shift", "x", x, [&](auto zero_value) {
      using T = decltype(zero_value);
      relative_shift_backward<T>(d_x.data<T>(), d[0].data<T>(), axis, rows, T(1));
    });
    accumulate(x, d_x);
  });
  return y;
}

namespace {

// s + table[b, h, i - q_offset, clip(zero + j - i, 0, R - 1)], table (B, H, L, R)
ScoreProgramPtr relative_program(const Tensor& table, Index q_offset, Index zero) {
  auto p = std::make_shared<ScoreProgram>();
  const int low = p->integer(-zero), high = p->integer(table.dim(3) - 1 - zero);
  const int distance = p->clip(p->subtract(p->key(), p->query()), low, high);
  const int row = p->subtract(p->query(), p->integer(q_offset));
  const int entry = p->lookup(table, "table", {p->batch(), p->head(), row, p->subtract(distance, low)});
  p->set_result(p->add(p->score(), entry));
  return p;
}

}  // namespace

Tensor relative_products(const Tensor& x, const Tensor& table, double factor) {
  ProductsSaved s;
  s.x = x, s.factor = factor;
  {
    const NoGrad off;
    s.table = scale(table, factor);
  }
  s.shared = table.rank() == 2;
  s.length = x.dim(-2), s.d = x.dim(-1), s.count = table.dim(-2);
  if (x.rank() >= 3) s.heads = x.dim(-3);
  s.batch = x.shape().product(0, std::max(0, x.rank() - 3));
  Tensor y = Tensor::empty(with_last(x.shape().slice(0, x.rank() - 1), {s.count}), x.dtype());
  dispatch_float("relative_products", "x", x, [&](auto zero_value) {
    using T = decltype(zero_value);
    if (y.size() > 0) relative_products_forward<T>(y.data<T>(), s);
  });
  if (!needs_grad({&x, &table})) return y;
  record("relative_products", {x, table}, {y}, [s, table](const Tensors& d) {
    Tensor d_x, d_table;
    if (s.x.requires_grad()) d_x = Tensor::zeros(s.x.shape(), s.x.dtype());
    if (table.requires_grad()) d_table = Tensor::zeros(table.shape(), table.dtype());
    dispatch_float("relative_products", "x", s.x, [&](auto zero_value) {
      using T = decltype(zero_value);
      if (d[0].size() == 0) return;
      relative_products_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_table), d[0].data<T>(), s);
    });
    if (d_x) accumulate(s.x, d_x);
    if (d_table) accumulate(table, d_table);
  });
  return y;
}

void add_relative_scores(AttentionOptions& options, const Tensor& products, Index keys, Index zero) {
  // A score program counts positions in the dtype of the scores: in float32 they are whole numbers up to 2^24.
  constexpr Index kExact = Index{1} << 23;
  const Index length = products.dim(-2), count = products.dim(-1);
  const bool exact = std::max({std::abs(options.q_offset) + length, keys, std::abs(zero) + count}) < kExact;
  if (exact && products.size() > 0 && keys > 0) {
    const Index heads = products.rank() >= 3 ? products.dim(-3) : 1;
    const Tensor table =
        reshape(products, {products.size() / std::max<Index>(1, heads * length * count), heads, length, count});
    options.program = relative_program(table, options.q_offset, zero);
    return;
  }
  if (count == 0) return;  // no score
  const Tensor bias = relative_shift(products, keys, options.q_offset, zero);
  options.bias = options.bias ? add(bias, options.bias) : bias;
}

}  // namespace attendo
