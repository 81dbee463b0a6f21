// Linear attention in chunks: what one thread does for one kv head and a range of its value columns.
//
// Within a chunk of C tokens, S the state before it, α_t = e^decay, a_t = α_1 ⊙ … ⊙ α_t, P_tj = α_{j+1} ⊙ … ⊙ α_t:
//
//   forward    A_tj = scale Σ_d q_td k_jd P_tjd (j <= t)        M_tj = Σ_d k_td k_jd P_tjd (j < t)
//              U = V      or, with the delta rule,              (I + diag(β) M) U = diag(β) E,   E = V - (a ⊙ K) S
//              O = scale (a ⊙ Q) S + A U                        S' = diag(a_C) S + (P_C ⊙ K)ᵀ U
//   backward   dS = diag(a_C) dS' + scale (a ⊙ Q)ᵀ dO           dU = (P_C ⊙ K) dS' + Aᵀ dO
//              delta: dR = (I + diag(β) M)⁻ᵀ dU    dM = -diag(β) dR Uᵀ    dβ = rowsum(dR ⊙ (E - M U))
//                     dV = dE = diag(β) dR         dS -= (a ⊙ K)ᵀ dE      d(a ⊙ K) = -dE Sᵀ
//              dA = dO Uᵀ      d(a ⊙ Q) = scale dO Sᵀ      d(P_C ⊙ K) = U dS'ᵀ,   and from there to q and k
//              ddecay_s = Σ_{t >= s} γ_t,   γ = q ⊙ dq + k ⊙ (dk as the row of M and in a ⊙ K) - k ⊙ (the rest of dk),
//              γ_C also gets rowsum(S' ⊙ dS')
//
// Products of α, never differences of sums of logarithms: a decay of -inf or -1e30 is as good as any other.
// What lies above the diagonal is not multiplied by 0 where something is NaN or infinite: it stays where it is.
#pragma once

#include <algorithm>

#include "core/memory.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/gemv.h"
#include "kernels/rows.h"

namespace attendo {

enum class DecayKind { kNone, kHead, kFeature };  // one α a token, or one for each feature of the keys

// One (batch, kv head), and the columns of the values from 0 to d_v.
template <typename T>
struct LinearHead {
  Index length = 0, group = 1, d = 0, d_v = 0;
  Index v_row = 0;  // of values, outputs and states
  DecayKind decay_kind = DecayKind::kNone;
  T scale = 1;
  const T *q = nullptr, *k = nullptr, *v = nullptr;  // q, out: the group's heads one after the other
  const T *decay = nullptr, *beta = nullptr;         // beta: with the delta rule
  const T* state = nullptr;                          // or null: zeros
  T* out = nullptr;
  T* last_state = nullptr;
};

template <typename T>
struct LinearHeadGradient {
  const T* d_out = nullptr;
  const T* d_last_state = nullptr;  // or null
  T *d_q = nullptr, *d_k = nullptr, *d_v = nullptr, *d_decay = nullptr, *d_beta = nullptr, *d_state = nullptr;
};

template <typename T>
class LinearChunks {
 public:
  LinearChunks(const LinearHead<T>& head, Index chunk, bool backward)
      : h_(head),
        chunk_(std::max<Index>(1, std::min(chunk, head.length))),
        d_(head.d),
        dp_(whole_vectors(head.d)),
        vp_(whole_vectors(head.d_v)),
        decays_(head.decay_kind == DecayKind::kFeature ? head.d : 1),
        scratch_((lay_out(nullptr, backward), static_cast<size_t>(size_))) {
    lay_out(scratch_.get(), backward);
  }

  void forward() {
    T *now = state_, *next = next_;
    load_state(now, h_.state);
    for (Index first = 0; first < h_.length; first += chunk_, std::swap(now, next)) {
      load(first);
      if (h_.group > 0 || h_.beta != nullptr) pack_keys();
      solve_values(now);
      next_state(next, now);
      const bool finite = rows_ == 1 || all_finite(next, d_ * vp_);
      for (Index g = 0; g < h_.group; ++g) {
        const T* q = h_.q + (g * h_.length + first) * d_;
        T* out = h_.out + (g * h_.length + first) * h_.v_row;
        mix(mixed_, q, h_.scale);
        scale_rows(q_hat_, q, before_, h_.scale);
        product(out, h_.v_row, q_hat_, d_, 1, now, vp_, rows_, h_.d_v, d_, false);
        add_lower(out, h_.v_row, mixed_, u_, vp_, h_.d_v, finite);
      }
    }
    for (Index i = 0; i < d_; ++i) std::copy_n(now + i * vp_, h_.d_v, h_.last_state + i * h_.v_row);
  }

  void backward(const LinearHeadGradient<T>& g) {
    const Index chunks = (h_.length + chunk_ - 1) / chunk_, size = d_ * vp_;
    const Scratch<T> states(static_cast<size_t>((chunks + 1) * size));  // at the borders of the chunks
    load_state(states.get(), h_.state);
    for (Index c = 0; c < chunks; ++c) {
      load(c * chunk_);
      if (h_.beta != nullptr) pack_keys();
      solve_values(states.get() + c * size);
      next_state(states.get() + (c + 1) * size, states.get() + c * size);
    }
    T *d_state = state_, *d_before = next_;
    load_state(d_state, g.d_last_state);
    for (Index c = chunks - 1; c >= 0; --c, std::swap(d_state, d_before)) {
      const T* state = states.get() + c * size;
      load(c * chunk_);
      pack_keys();
      solve_values(state);
      backward_chunk(g, c * chunk_, state, state + size, d_state, d_before);
    }
    for (Index i = 0; i < d_; ++i) std::copy_n(d_state + i * vp_, h_.d_v, g.d_state + i * h_.v_row);
  }

 private:
  static constexpr Index kSolveBlock = 8;

  static Index whole_vectors(Index n) {
    const Index lanes = kernels::gemm_kernels<T>().lanes;
    return (n + lanes - 1) / lanes * lanes;
  }

  bool decayed() const { return h_.decay_kind != DecayKind::kNone; }

  // Places of the arrays in `base`; with null, how much they take.
  void lay_out(T* base, bool backward) {
    size_ = 0;
    const auto take = [&](Index n) {
      T* at = base == nullptr ? nullptr : base + size_;
      size_ += (n + 15) / 16 * 16;
      return at;
    };
    const Index c = chunk_;
    const bool delta = h_.beta != nullptr, per_feature = h_.decay_kind == DecayKind::kFeature;
    state_ = take(d_ * vp_), next_ = take(d_ * vp_);
    keys_ = take(c * dp_), packed_ = take(kernels::packed_size<T>(d_, c));
    u_ = take(c * vp_);
    mixed_ = take(c * c), q_hat_ = take(c * d_);
    alpha_ = take(decayed() ? c * decays_ : 0), before_ = take(decayed() ? c * decays_ : 0),
    after_ = take(decayed() ? c * decays_ : 0), ratios_ = take(h_.decay_kind == DecayKind::kHead ? c * c : 0);
    k_after_ = take(decayed() ? c * d_ : 0);
    k_before_ = take(delta ? c * d_ : 0), minus_m_ = take(delta ? c * c : 0), solver_ = take(delta ? c * c : 0);
    moved_ = take(per_feature || backward ? c * dp_ : 0);
    if (!backward) return;
    error_ = take(delta ? c * vp_ : 0);
    d_out_ = take(h_.group * c * vp_), d_u_ = take(c * vp_), d_mixed_ = take(c * c);
    packed_u_ = take(kernels::packed_size<T>(h_.d_v, c)), packed_state_ = take(kernels::packed_size<T>(h_.d_v, d_)),
    packed_d_state_ = take(kernels::packed_size<T>(h_.d_v, d_));
    d_row_ = take(c * d_), d_column_ = take(c * d_), flow_ = take(c * decays_), dots_ = take(std::max(c, d_));
  }

  // ---- small loops --------------------------------------------------------------------------------------------------

  // c (m, n) = a b (+ c); b: rows of whole vectors, or packed (b_row 0).
  static void product(T* c, Index c_row, const T* a, Index a_row, Index a_col, const T* b, Index b_row, Index m,
                      Index n, Index k, bool add) {
    if (m == 0 || n == 0 || (k == 0 && add)) return;
    kernels::GemmTask<T> task;
    task.m = m, task.n = n, task.k = k;
    task.a = a, task.a_row = a_row, task.a_col = a_col;
    task.b = b, task.b_row = b_row;
    task.c = c, task.c_row = c_row, task.add = add;
    kernels::gemm_kernels<T>().run(task);
  }

  // c (rows, n) += lower triangle of x · b
  void add_lower(T* c, Index c_row, const T* x, const T* b, Index b_row, Index n, bool finite) const {
    const Index step = finite ? kernels::kGemmRowBlock : 1;
    for (Index i = 0; i < rows_; i += step) {
      const Index m = std::min(step, rows_ - i);
      product(c + i * c_row, c_row, x + i * chunk_, chunk_, 1, b, b_row, m, n, i + m, true);
    }
  }

  // c (rows, n) += (lower triangle of x)ᵀ · b
  void add_lower_transposed(T* c, Index c_row, const T* x, const T* b, Index b_row, Index n, bool finite) const {
    const Index step = finite ? kernels::kGemmRowBlock : 1;
    for (Index j = 0; j < rows_; j += step) {
      const Index m = std::min(step, rows_ - j);
      product(c + j * c_row, c_row, x + j * chunk_ + j, 1, chunk_, b + j * b_row, b_row, m, n, rows_ - j, true);
    }
  }

  static bool all_finite(const T* x, Index n) {
    int bad = 0;
    for (Index i = 0; i < n; ++i) bad |= !(x[i] - x[i] == T(0));
    return bad == 0;
  }

  // y = factor · f ⊙ x: rows of d, f one number a row or a feature, nothing without decay
  void scale_rows(T* y, const T* x, const T* f, T factor) const {
    for (Index t = 0; t < rows_; ++t, x += d_, y += d_) {
      if (h_.decay_kind == DecayKind::kFeature) {
        for (Index i = 0; i < d_; ++i) y[i] = factor * f[t * d_ + i] * x[i];
      } else {
        const T s = decayed() ? factor * f[t] : factor;
        for (Index i = 0; i < d_; ++i) y[i] = s * x[i];
      }
    }
  }

  // to (rows, to_row): x's rows of n, the rest 0
  void pad(T* to, Index to_row, const T* x, Index x_row, Index n) const {
    for (Index t = 0; t < rows_; ++t) {
      std::copy_n(x + t * x_row, n, to + t * to_row);
      std::fill_n(to + t * to_row + n, to_row - n, T(0));
    }
  }

  void load_state(T* to, const T* from) const {
    std::fill_n(to, d_ * vp_, T(0));
    if (from == nullptr) return;
    for (Index i = 0; i < d_; ++i) std::copy_n(from + i * h_.v_row, h_.d_v, to + i * vp_);
  }

  T decay_of(const T* f, Index t, Index feature) const {
    return f[h_.decay_kind == DecayKind::kFeature ? t * d_ + feature : t];
  }

  // ---- forward ------------------------------------------------------------------------------------------------------

  // Tokens first … first + rows: the keys, the values (into u), the decays.
  void load(Index first) {
    rows_ = std::min(chunk_, h_.length - first), first_ = first;
    k_ = h_.k + first * d_;
    pad(u_, vp_, h_.v + first * h_.v_row, h_.v_row, h_.d_v);
    if (!decayed()) return;
    const Index n = decays_;
    kernels::row_kernels<T>().exp(alpha_, h_.decay + first * n, rows_ * n);
    std::copy_n(alpha_, n, before_);
    for (Index i = n; i < rows_ * n; ++i) before_[i] = before_[i - n] * alpha_[i];
    std::fill_n(after_ + (rows_ - 1) * n, n, T(1));
    for (Index i = (rows_ - 1) * n - 1; i >= 0; --i) after_[i] = after_[i + n] * alpha_[i + n];
    scale_rows(k_after_, k_, after_, 1);
    if (h_.decay_kind != DecayKind::kHead) return;
    for (Index t = 0; t < rows_; ++t) {
      T *row = ratios_ + t * chunk_, *above = row - chunk_;
      for (Index j = 0; j < t; ++j) row[j] = above[j] * alpha_[t];
      row[t] = 1;
    }
  }

  void pack_keys() {
    if (h_.decay_kind == DecayKind::kFeature) return;
    kernels::gemm_kernels<T>().pack_b(packed_, k_, 1, d_, d_, rows_, 0, d_);
  }

  // x_tj = factor Σ_d y_td k_jd P_tjd for j <= t, and 0 above
  void mix(T* x, const T* y, T factor) {
    if (h_.decay_kind == DecayKind::kFeature) {
      pad(moved_, dp_, k_, d_, d_);  // row j: k_j ⊙ P_tj
      for (Index t = 0; t < rows_; ++t) {
        const T* alpha = alpha_ + t * d_;
        for (Index j = 0; j < t; ++j) {
          T* row = moved_ + j * dp_;
          for (Index i = 0; i < d_; ++i) row[i] *= alpha[i];
        }
        kernels::GemvTask<T> row;
        row.m = 1, row.n = t + 1, row.k = d_;
        row.x = y + t * d_, row.x_row = d_;
        row.w = moved_, row.w_row = dp_;
        row.y = x + t * chunk_, row.y_row = chunk_;
        kernels::gemv_kernels<T>().run(row);
      }
    } else {
      product(x, chunk_, y, d_, 1, packed_, 0, rows_, rows_, d_, false);
    }
    scale_lower(x, factor, h_.decay_kind == DecayKind::kHead);
  }

  // x_tj = factor x_tj P_tj (or without P) for j <= t, and 0 above
  void scale_lower(T* x, T factor, bool with_ratios) const {
    for (Index t = 0; t < rows_; ++t, x += chunk_) {
      if (with_ratios) {
        const T* ratio = ratios_ + t * chunk_;
        for (Index j = 0; j <= t; ++j) x[j] *= factor * ratio[j];
      } else if (factor != T(1)) {
        for (Index j = 0; j <= t; ++j) x[j] *= factor;
      }
      std::fill_n(x + t + 1, chunk_ - t - 1, T(0));
    }
  }

  // u: the values, or what the delta rule writes in their place
  void solve_values(const T* state) {
    if (h_.beta == nullptr) return;
    const T* beta = h_.beta + first_;
    mix(minus_m_, k_, T(-1));
    for (Index t = 0; t < rows_; ++t) {
      minus_m_[t * chunk_ + t] = 0;
      for (Index j = 0; j < chunk_; ++j) solver_[t * chunk_ + j] = j < t ? beta[t] * minus_m_[t * chunk_ + j] : T(0);
    }
    scale_rows(k_before_, k_, before_, T(-1));
    product(u_, vp_, k_before_, d_, 1, state, vp_, rows_, vp_, d_, true);
    if (error_ != nullptr) std::copy_n(u_, rows_ * vp_, error_);
    multiply_beta(u_);
    for (Index i = 0; i < rows_; i += kSolveBlock) {
      const Index m = std::min(kSolveBlock, rows_ - i);
      T* u = u_ + i * vp_;
      product(u, vp_, solver_ + i * chunk_, chunk_, 1, u_, vp_, m, vp_, i, true);
      for (Index r = 1; r < m; ++r) {
        product(u + r * vp_, vp_, solver_ + (i + r) * chunk_ + i, chunk_, 1, u, vp_, 1, vp_, r, true);
      }
    }
  }

  void multiply_beta(T* x) const {
    for (Index t = 0; t < rows_; ++t) {
      for (Index j = 0; j < vp_; ++j) x[t * vp_ + j] *= h_.beta[first_ + t];
    }
  }

  // to = diag(a_C) from
  void decay_state(T* to, const T* from) const {
    if (!decayed()) {
      std::copy_n(from, d_ * vp_, to);
      return;
    }
    for (Index i = 0; i < d_; ++i) {
      const T a = decay_of(before_, rows_ - 1, i);
      for (Index j = 0; j < vp_; ++j) to[i * vp_ + j] = a * from[i * vp_ + j];
    }
  }

  const T* keys_after() const { return decayed() ? k_after_ : k_; }

  void next_state(T* next, const T* now) const {
    decay_state(next, now);
    product(next, vp_, keys_after(), 1, d_, u_, vp_, d_, vp_, rows_, true);
  }

  // ---- backward -----------------------------------------------------------------------------------------------------

  // The backward of mix: d_y (rows, d) and d_column (the gradient of k) are added to; d_x is changed.
  void add_unmixed(T* d_x, const T* y, T* d_y, T factor, bool finite) {
    scale_lower(d_x, factor, h_.decay_kind == DecayKind::kHead);
    if (h_.decay_kind != DecayKind::kFeature) {
      pad(moved_, dp_, y, d_, d_);
      add_lower(d_y, d_, d_x, keys_, dp_, d_, finite);
      add_lower_transposed(d_column_, d_, d_x, moved_, dp_, d_, finite);
      return;
    }
    pad(moved_, dp_, k_, d_, d_);  // row j: k_j ⊙ P_tj
    for (Index t = 0; t < rows_; ++t) {
      for (Index j = 0; j < t; ++j) {
        for (Index i = 0; i < d_; ++i) moved_[j * dp_ + i] *= alpha_[t * d_ + i];
      }
      product(d_y + t * d_, d_, d_x + t * chunk_, chunk_, 1, moved_, dp_, 1, d_, t + 1, true);
    }
    pad(moved_, dp_, y, d_, d_);  // row t: y_t ⊙ P_tj
    for (Index j = rows_ - 1; j >= 0; --j) {
      for (Index t = j + 1; t < rows_; ++t) {
        for (Index i = 0; i < d_; ++i) moved_[t * dp_ + i] *= alpha_[(j + 1) * d_ + i];
      }
      product(d_column_ + j * d_, d_, d_x + j * chunk_ + j, 1, chunk_, moved_ + j * dp_, dp_, 1, d_, rows_ - j, true);
    }
  }

  // flow (rows, decays) += sign x ⊙ y, summed over the features where they share a decay
  void add_flow(const T* x, const T* y, T sign) {
    if (h_.decay_kind == DecayKind::kFeature) {
      for (Index i = 0; i < rows_ * d_; ++i) flow_[i] += sign * x[i] * y[i];
    } else if (decayed()) {
      kernels::attention_kernels<T>().row_dots(x, d_, y, d_, rows_, d_, dots_);
      for (Index t = 0; t < rows_; ++t) flow_[t] += sign * dots_[t];
    }
  }

  // The gradient after the chunk is d_state; that before it goes to d_before.
  void backward_chunk(const LinearHeadGradient<T>& g, Index first, const T* state, const T* next, const T* d_state,
                      T* d_before) {
    const auto& gemm = kernels::gemm_kernels<T>();
    const bool delta = h_.beta != nullptr;
    const Index n_v = h_.d_v;
    // 1. through the reading of the state
    decay_state(d_before, d_state);
    for (Index m = 0; m < h_.group; ++m) {
      T* d_out = d_out_ + m * chunk_ * vp_;
      pad(d_out, vp_, g.d_out + (m * h_.length + first) * h_.v_row, h_.v_row, n_v);
      scale_rows(q_hat_, h_.q + (m * h_.length + first) * d_, before_, h_.scale);
      product(d_before, vp_, q_hat_, 1, d_, d_out, vp_, d_, vp_, rows_, true);
    }
    const bool finite = rows_ == 1 || (all_finite(next, d_ * vp_) && all_finite(d_before, d_ * vp_));
    // 2. to the values
    product(d_u_, vp_, keys_after(), d_, 1, d_state, vp_, rows_, vp_, d_, false);
    for (Index m = 0; m < h_.group; ++m) {
      mix(mixed_, h_.q + (m * h_.length + first) * d_, h_.scale);
      add_lower_transposed(d_u_, vp_, mixed_, d_out_ + m * chunk_ * vp_, vp_, vp_, finite);
    }
    gemm.pack_b(packed_u_, u_, 1, vp_, n_v, rows_, 0, n_v);
    gemm.pack_b(packed_state_, state, 1, vp_, n_v, d_, 0, n_v);
    gemm.pack_b(packed_d_state_, d_state, 1, vp_, n_v, d_, 0, n_v);
    std::fill_n(flow_, rows_ * decays_, T(0));
    std::fill_n(d_row_, rows_ * d_, T(0));
    pad(keys_, dp_, k_, d_, d_);
    // 3. to the keys, as they were written into the state
    product(d_column_, d_, u_, vp_, 1, packed_d_state_, 0, rows_, d_, n_v, false);
    if (decayed()) {
      scale_rows(d_column_, d_column_, after_, 1);
      kernels::attention_kernels<T>().row_dots(next, vp_, d_state, vp_, d_, n_v, dots_);
      T* last = flow_ + (rows_ - 1) * decays_;
      for (Index i = 0; i < d_; ++i) last[decays_ == 1 ? 0 : i] += dots_[i];
    }
    // 4. through the delta rule
    if (delta) delta_backward(g, first, d_before, finite);
    for (Index t = 0; t < rows_; ++t) std::copy_n(d_u_ + t * vp_, n_v, g.d_v + (first + t) * h_.v_row);
    // 5. to the queries, and to the keys they met in the chunk
    for (Index m = 0; m < h_.group; ++m) {
      const T *q = h_.q + (m * h_.length + first) * d_, *d_out = d_out_ + m * chunk_ * vp_;
      T* d_q = g.d_q + (m * h_.length + first) * d_;
      product(d_q, d_, d_out, vp_, 1, packed_state_, 0, rows_, d_, n_v, false);
      scale_rows(d_q, d_q, before_, h_.scale);
      product(d_mixed_, chunk_, d_out, vp_, 1, packed_u_, 0, rows_, rows_, n_v, false);
      add_unmixed(d_mixed_, q, d_q, h_.scale, finite);
      add_flow(q, d_q, 1);
    }
    T* d_k = g.d_k + first * d_;
    for (Index i = 0; i < rows_ * d_; ++i) d_k[i] = d_row_[i] + d_column_[i];
    if (!decayed()) return;
    // 6. to the decays
    add_flow(k_, d_row_, 1);
    add_flow(k_, d_column_, -1);
    T* d_decay = g.d_decay + first * decays_;
    std::copy_n(flow_ + (rows_ - 1) * decays_, decays_, d_decay + (rows_ - 1) * decays_);
    for (Index i = (rows_ - 1) * decays_ - 1; i >= 0; --i) d_decay[i] = d_decay[i + decays_] + flow_[i];
  }

  // d_u: of u on entry, of the values on return.
  void delta_backward(const LinearHeadGradient<T>& g, Index first, T* d_before, bool finite) {
    const T* beta = h_.beta + first;
    for (Index end = rows_; end > 0;) {
      const Index begin = std::max<Index>(0, end - kSolveBlock);
      T* u = d_u_ + begin * vp_;
      product(u, vp_, solver_ + end * chunk_ + begin, 1, chunk_, d_u_ + end * vp_, vp_, end - begin, vp_, rows_ - end,
              true);
      for (Index t = end - 2; t >= begin; --t) {
        product(d_u_ + t * vp_, vp_, solver_ + (t + 1) * chunk_ + t, 1, chunk_, d_u_ + (t + 1) * vp_, vp_, 1, vp_,
                end - 1 - t, true);
      }
      end = begin;
    }
    add_lower(error_, vp_, minus_m_, u_, vp_, vp_, finite);
    kernels::attention_kernels<T>().row_dots(d_u_, vp_, error_, vp_, rows_, h_.d_v, g.d_beta + first);
    product(d_mixed_, chunk_, d_u_, vp_, 1, packed_u_, 0, rows_, rows_, h_.d_v, false);
    for (Index t = 0; t < rows_; ++t) {
      for (Index j = 0; j < t; ++j) d_mixed_[t * chunk_ + j] *= -beta[t];
      d_mixed_[t * chunk_ + t] = 0;
    }
    multiply_beta(d_u_);
    product(d_before, vp_, k_before_, 1, d_, d_u_, vp_, d_, vp_, rows_, true);
    product(d_row_, d_, d_u_, vp_, 1, packed_state_, 0, rows_, d_, h_.d_v, false);
    scale_rows(d_row_, d_row_, before_, T(-1));
    add_unmixed(d_mixed_, k_, d_row_, 1, finite);
  }

  const LinearHead<T>& h_;
  const Index chunk_, d_, dp_, vp_, decays_;
  Index size_ = 0, rows_ = 0, first_ = 0;
  const T* k_ = nullptr;  // this chunk's keys
  T *state_, *next_, *keys_, *packed_, *u_, *mixed_, *q_hat_;
  T *alpha_, *before_, *after_, *ratios_, *k_after_;  // α, a, P_C, P, P_C ⊙ K
  T *k_before_, *minus_m_, *solver_, *moved_;         // -(a ⊙ K), -M, -diag(β) M
  T* error_ = nullptr;                                // E, where the backward pass needs it
  T *d_out_ = nullptr, *d_u_ = nullptr, *d_mixed_ = nullptr, *packed_u_ = nullptr, *packed_state_ = nullptr;
  T *packed_d_state_ = nullptr, *d_row_ = nullptr, *d_column_ = nullptr, *flow_ = nullptr, *dots_ = nullptr;
  Scratch<T> scratch_;
};

}  // namespace attendo
