// Attention with relative position representations
//
//   s_ij = scale q_i·(k_j + a_e(i,j))      P_i = softmax over the allowed j of s_ij      o_i = Σ_j P_ij (v_j + a'_e(i,j))
//
//   e(i, j) = clip(j - (i + q_offset), -c, c) + c
//
//   backward   dS, dq, dk, dv as in scaled dot-product attention, with dP_ij = do_i·(v_j + a'_e(i,j)); and
//              dq_i += scale Σ_j dS_ij a_e(i,j)     da_e = scale Σ_{i,j: e(i,j) = e} dS_ij q_i     da'_e = Σ_{…} P_ij do_i
//
// q: (…, H, L, D).  k: (…, Hkv, S, D).  v: (…, Hkv, S, Dv).  a, a': (2c + 1, D), (2c + 1, Dv), or with an axis H in front.
// q·a is one product over the 2c + 1 entries (…, H, L, 2c + 1), looked up by a score program; with a' the weights are kept.
//                                                                                   Shaw et al. 2018, eq. 3–4 and §3.3.
#include "attention/relative_position.h"

#include <cmath>

#include "attention/relative_bias.h"
#include "core/parallel.h"
#include "kernels/rows.h"
#include "ops/arithmetic.h"
#include "ops/dropout.h"
#include "ops/gemm.h"

namespace attendo {
namespace {

void check_table(const char* name, const Tensor& table, const Tensor& q, Index features) {
  const char* op = "relative_position";
  check_float(op, name, table);
  check_same_dtype(op, name, table, "q", q);
  const bool by_head = table.rank() == 3 && q.rank() >= 3;
  if (table.rank() != 2 && !by_head) {
    value_error(op, ": ", name, " has shape ", table.shape(), " but must be (2c + 1, features)",
                q.rank() >= 3 ? " or (heads, 2c + 1, features)" : "");
  }
  if (by_head && table.dim(0) != q.dim(-3)) {
    value_error(op, ": ", name, " has ", table.dim(0), " heads but query has ", q.dim(-3));
  }
  if (table.dim(-1) != features)
    value_error(op, ": ", name, " has ", table.dim(-1), " features but must have ", features);
  if (table.dim(-2) % 2 == 0) {
    value_error(op, ": ", name, " has ", table.dim(-2), " rows but must have 2c + 1, for the distances -c to c");
  }
}

// What attention with this generator does to its weights: the same bits (kernels/attention_tile-inl.h, DropTile).
template <typename T>
void drop_weights(T* y, const T* x, std::uint64_t stream, double p, Index heads, Index length, Index keys) {
  const std::uint32_t drop_below = drop_threshold(p);
  const T scale = keep_scale<T>(p);
  parallel_ranges(heads * length, rows_per_task(8 * keys), [=](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const std::uint64_t of_head = mix_seed(stream, static_cast<std::uint64_t>(row / length));
      const auto i = static_cast<std::uint32_t>(row % length);
      for (Index j = 0; j < keys; ++j) {
        const bool keep =
            kernels::random_bits(kernels::row_key(of_head, static_cast<std::uint64_t>(j)), i) >= drop_below;
        y[row * keys + j] = keep ? x[row * keys + j] * scale : T(0);
      }
    }
  });
}

Tensor dropped(const Tensor& weights, std::uint64_t stream, double p) {
  auto apply = [stream, p](const Tensor& x) {
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    const Index length = x.dim(-2), keys = x.dim(-1), heads = x.shape().product(0, x.rank() - 2);
    dispatch_float("relative_position", "weights", x, [&](auto zero) {
      using T = decltype(zero);
      drop_weights<T>(y.data<T>(), x.data<T>(), stream, p, heads, length, keys);
    });
    return y;
  };
  Tensor y = apply(weights);
  if (!needs_grad({&weights})) return y;
  record("relative_position", {weights}, {y}, [weights, apply](const Tensors& d) { accumulate(weights, apply(d[0])); });
  return y;
}

// What values gain of their distance: o_i = Σ_j P_ij a'_e(i,j) = Σ_e p_ie a'_e, p_ie the weight of all keys at e.
struct ValuesSaved {
  Tensor weights, table, sums;  // sums (…, H, L, 2c + 1)
  RelativeAxis axis;
  Index heads = 1, rows = 0, d_v = 0;
  bool shared = true;
  Index groups() const { return shared ? 1 : rows / std::max<Index>(1, axis.length); }
  Index table_at(Index group) const { return shared ? 0 : group % heads * axis.count * d_v; }
};

template <typename T>
bool all_finite(const T* x, Index n) {
  return std::all_of(x, x + n, [](T value) { return std::isfinite(value); });
}

template <typename T>
void relative_values_forward(T* y, const ValuesSaved& s) {
  const Index groups = s.groups(), group_rows = s.rows / std::max<Index>(1, groups), count = s.axis.count;
  const T* sums = s.sums.data<T>();
  // Entries that are not finite must not meet a weight of 0: they are added to the rows that have them.
  const T* given = s.table.data<T>();
  Tensor finite = s.table;
  if (!all_finite(given, s.table.size())) {
    finite = s.table.clone();
    T* x = finite.data<T>();
    std::replace_if(x, x + finite.size(), [](T value) { return !std::isfinite(value); }, T(0));
  }
  parallel_for(groups, [&](Index group) {
    Gemm<T> g;
    g.m = group_rows, g.n = s.d_v, g.k = count;
    g.a_row = count, g.b_row = s.d_v, g.c_row = s.d_v;
    g.a = sums + group * group_rows * count;
    g.b = finite.data<T>() + s.table_at(group);
    g.c = y + group * group_rows * s.d_v;
    gemm(g);
  });
  if (finite.same_as(s.table)) return;
  for (Index row = 0; row < s.rows; ++row) {
    const T* table = given + s.table_at(row / std::max<Index>(1, group_rows));
    for (Index e = 0; e < count; ++e) {
      const T weight = sums[row * count + e];
      if (weight == T(0)) continue;
      for (Index c = 0; c < s.d_v; ++c) {
        const T value = table[e * s.d_v + c];
        if (!std::isfinite(value)) y[row * s.d_v + c] += weight * value;
      }
    }
  }
}

// d_weights and d_table may be null.
template <typename T>
void relative_values_backward(T* d_weights, T* d_table, const T* d_y, const ValuesSaved& s) {
  const Index groups = s.groups(), group_rows = s.rows / std::max<Index>(1, groups), count = s.axis.count;
  if (d_weights != nullptr) {
    Scratch<T> d_sums(static_cast<size_t>(s.rows * count));
    parallel_for(groups, [&](Index group) {
      Gemm<T> g;  // dp = do · a'ᵀ
      g.m = group_rows, g.n = count, g.k = s.d_v;
      g.a_row = s.d_v, g.b_row = 1, g.b_col = s.d_v, g.c_row = count;
      g.a = d_y + group * group_rows * s.d_v;
      g.b = s.table.data<T>() + s.table_at(group);
      g.c = d_sums.get() + group * group_rows * count;
      gemm(g);
    });
    relative_shift_forward<T>(d_weights, d_sums.get(), s.axis, s.rows, T(1));
    if (!all_finite(s.table.data<T>(), s.table.size())) {  // nothing flows to a weight of 0
      const T* weights = s.weights.data<T>();
      for (Index i = 0; i < s.weights.size(); ++i) d_weights[i] = weights[i] == T(0) ? T(0) : d_weights[i];
    }
  }
  if (d_table == nullptr) return;
  std::fill_n(d_table, s.table.size(), T(0));
  for (Index group = 0; group < groups; ++group) {
    Gemm<T> g;  // da' = pᵀ · do
    g.m = count, g.n = s.d_v, g.k = group_rows;
    g.a_row = 1, g.a_col = count, g.b_row = s.d_v, g.c_row = s.d_v;
    g.a = s.sums.data<T>() + group * group_rows * count;
    g.b = d_y + group * group_rows * s.d_v;
    g.c = d_table + s.table_at(group);
    g.add = true;
    gemm(g);
  }
}

// weights (…, H, L, S), table (2c + 1, Dv) or (H, 2c + 1, Dv) -> (…, H, L, Dv)
Tensor relative_values(const Tensor& weights, const Tensor& table, Index q_offset) {
  ValuesSaved s;
  s.weights = weights, s.table = table;
  s.axis = {weights.dim(-2), weights.dim(-1), table.dim(-2), table.dim(-2) / 2 - q_offset};
  s.shared = table.rank() == 2;
  if (weights.rank() >= 3) s.heads = weights.dim(-3);
  s.rows = weights.shape().product(0, weights.rank() - 1);
  s.d_v = table.dim(-1);
  Shape shape = weights.shape();
  shape[-1] = s.axis.count;
  s.sums = Tensor::empty(shape, weights.dtype());
  shape[-1] = s.d_v;
  Tensor y = Tensor::empty(shape, weights.dtype());
  dispatch_float("relative_position", "weights", weights, [&](auto zero) {
    using T = decltype(zero);
    relative_shift_backward<T>(s.sums.data<T>(), weights.data<T>(), s.axis, s.rows, T(1));
    relative_values_forward<T>(y.data<T>(), s);
  });
  if (!needs_grad({&weights, &table})) return y;
  record("relative_position", {weights, table}, {y}, [s](const Tensors& d) {
    Tensor d_weights, d_table;
    if (s.weights.requires_grad()) d_weights = Tensor::empty(s.weights.shape(), s.weights.dtype());
    if (s.table.requires_grad()) d_table = Tensor::empty(s.table.shape(), s.table.dtype());
    dispatch_float("relative_position", "weights", s.weights, [&](auto zero) {
      using T = decltype(zero);
      relative_values_backward<T>(data_or_null<T>(d_weights), data_or_null<T>(d_table), d[0].data<T>(), s);
    });
    if (d_weights) accumulate(s.weights, d_weights);
    if (d_table) accumulate(s.table, d_table);
  });
  return y;
}

}  // namespace

AttentionResult relative_position(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& key_table,
                                  const Tensor& value_table, AttentionOptions options, bool return_weights) {
  check_float("relative_position", "q", q);
  check_min_rank("relative_position", "q", q, 2, "(..., length, features)");
  check_min_rank("relative_position", "k", k, 2, "(..., length, features)");
  check_min_rank("relative_position", "v", v, 2, "(..., length, features)");
  const Index d = q.dim(-1), keys = k.dim(-2);
  check_table("key_table", key_table, q, d);
  if (value_table) check_table("value_table", value_table, q, v.dim(-1));
  const double scale = options.scale.value_or(d > 0 ? 1.0 / std::sqrt(static_cast<double>(d)) : 1.0);
  const Index c = key_table.dim(-2) / 2;
  add_relative_scores(options, relative_products(q, key_table, scale), keys, c);
  std::uint64_t stream = 0;
  if (value_table && options.dropout > 0 && options.generator != nullptr) {
    stream = Generator(*options.generator).next_stream();  // the one that attention is about to draw
  }
  AttentionResult result = scaled_dot_product(q, k, v, options, return_weights || value_table);
  if (!value_table) return result;
  const Tensor used = options.dropout > 0 ? dropped(result.weights, stream, options.dropout) : result.weights;
  result.out = add(result.out, relative_values(used, value_table, options.q_offset));
  if (!return_weights) result.weights = Tensor();
  return result;
}

}  // namespace attendo
