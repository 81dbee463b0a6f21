// Packed attention: sequences of unequal lengths one after the other, without padding
//
//   o_i = Σ_j P_ij v_j,   P_i = softmax over the keys j of the sequence that query i is of, scale q_i·k_j
//
//   backward   that of attention, each sequence for itself
//
// q: (H, Σ L_n, D).  k: (Hkv, Σ S_n, D).  v: (Hkv, Σ S_n, Dv).  Sequence n is rows offsets[n] … offsets[n + 1] of q.
// Every sequence gives the bits it gives alone. Positions count from 0 in each.   Dao et al. 2022 (the "varlen" kernels).
#include "attention/packed.h"

#include "attention/drivers.h"
#include "ops/shape.h"

namespace attendo {

using namespace blocked;

namespace {

constexpr const char* kName = "attention_packed";

std::vector<Index> starts_of(const char* name, const Tensor& offsets, const char* of, Index total) {
  if (offsets.dtype() != DType::kInt64) {
    type_error(kName, ": ", name, " has dtype ", dtype_name(offsets.dtype()), " but must be integers");
  }
  if (offsets.rank() != 1 || offsets.size() < 1) {
    value_error(kName, ": ", name, " has shape ", offsets.shape(),
                " but must be (B + 1,): where each of B sequences begins, and where the last one ends");
  }
  const auto* at = offsets.data<std::int64_t>();
  std::vector<Index> starts(at, at + offsets.size());
  if (starts.front() != 0) value_error(kName, ": ", name, " begins with ", starts.front(), " but must begin with 0");
  for (size_t n = 1; n < starts.size(); ++n) {
    if (starts[n] < starts[n - 1]) {
      value_error(kName, ": ", name, " falls from ", starts[n - 1], " to ", starts[n], " at entry ", n,
                  " but must not decrease");
    }
  }
  if (starts.back() != total) {
    value_error(kName, ": ", name, " ends with ", starts.back(), " but must end with ", total, ", the rows of ", of);
  }
  return starts;
}

Tensor with_heads(const Tensor& x) { return x.rank() == 3 ? x : reshape(x, {1, x.dim(0), x.dim(1)}); }

// ---- sequences one after the other ----------------------------------------------------------------------------------

struct Sequences {
  std::vector<Index> q, k;  // where each begins, and where the last one ends
  Index count() const { return static_cast<Index>(q.size()) - 1; }
};

// body(sequence, its first query) for every sequence, a problem of its own within `all`; several a task while they are
// small. A large one is cut into tasks as it would be alone, so that it gives the same bits.
template <typename Body>
void for_sequences(const Problem& all, const Sequences& s, const Body& body) {
  std::vector<Index> first{0};  // sequence of each task
  Index work = 0;
  for (Index n = 0; n < s.count(); ++n) {
    const auto i = static_cast<size_t>(n);
    work += all.heads * (s.q[i + 1] - s.q[i]) * (s.k[i + 1] - s.k[i]) * (all.d + all.d_v) + 1;
    if (work < kTaskWork && n + 1 < s.count()) continue;
    first.push_back(n + 1);
    work = 0;
  }
  parallel_for(static_cast<Index>(first.size()) - 1, [&](Index task) {
    Problem one = all;
    one.batch = 1;
    one.q_offsets = Tensor();
    for (Index n = first[static_cast<size_t>(task)]; n < first[static_cast<size_t>(task) + 1]; ++n) {
      const auto i = static_cast<size_t>(n);
      one.first_batch = n;
      one.length = s.q[i + 1] - s.q[i], one.keys = s.k[i + 1] - s.k[i];
      one.q_layout.at = s.q[i] * one.q_layout.row;
      one.k_layout.at = s.k[i] * one.k_layout.row;
      one.v_layout.at = s.k[i] * one.v_layout.row;
      if (all.q_offsets) one.q_offset = all.q_offsets.data<std::int64_t>()[n];
      body(one, s.q[i]);
    }
  });
}

// The statistics of the sequences' rows lie one sequence after the other.
template <typename T>
RowStatistics<T> rows_from(RowStatistics<T> rows, Index first) {
  rows.max += first, rows.inverse += first;
  return rows;
}

// q (H, total L, D), k (Hkv, total S, D), v (Hkv, total S, Dv) -> (H, total L, Dv): sequence n is the rows from q_starts[n]
// to q_starts[n + 1] of q, and k_starts[n] to k_starts[n + 1] of k and v, each attention of its own.
Tensor attend_sequences(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<Index>& q_starts,
                        const std::vector<Index>& k_starts, const AttentionOptions& options) {
  const Sequences s{q_starts, k_starts};
  Problem p;
  p.q = q, p.k = k, p.v = v;
  p.batch = s.count(), p.heads = q.dim(0), p.kv_heads = k.dim(0);
  p.length = q.dim(1), p.keys = k.dim(1), p.d = q.dim(2), p.d_v = v.dim(2);
  p.q_layout = dense_layout(q), p.k_layout = dense_layout(k), p.v_layout = dense_layout(v);
  p.out_layout = {0, 0, p.length * p.d_v, p.d_v};
  p.weights_shape = {p.batch, p.heads, p.length, p.keys};
  apply_options(p, options, p.heads);
  const Tensor out = Tensor::empty({p.heads, p.length, p.d_v}, q.dtype());
  const Tensor rows = Tensor::empty({2, p.heads * p.length}, q.dtype());
  dispatch_float("attention", "q", q, [&](auto zero) {
    using T = decltype(zero);
    for_sequences(p, s, [&](const Problem& one, Index first) {
      attention_forward<T>(out.data<T>() + first * p.d_v, rows_from<T>(rows, p.heads * first), nullptr, one);
    });
  });
  if (!needs_grad({&p.q, &p.k, &p.v})) return out;
  record("attention_packed", {p.q, p.k, p.v}, {out}, [p, s, rows, out = out.detach()](const Tensors& d) {
    // Without query heads nothing below writes to d_k and d_v.
    auto like = [&](const Tensor& x) {
      return p.heads == 0 ? Tensor::zeros(x.shape(), x.dtype()) : Tensor::empty(x.shape(), x.dtype());
    };
    const Tensor d_q = like(p.q), d_k = like(p.k), d_v = like(p.v);
    if (p.heads > 0) {
      dispatch_float("attention", "q", p.q, [&](auto zero) {
        using T = decltype(zero);
        for_sequences(p, s, [&](const Problem& one, Index first) {
          const Index at = first * p.d_v;
          const Gradients<T> g{d_q.data<T>(),
                               d_k.data<T>(),
                               d_v.data<T>(),
                               nullptr,
                               d[0].data<T>() + at,
                               out.data<T>() + at,
                               rows_from<T>(rows, p.heads * first),
                               nullptr,
                               nullptr};
          attention_backward<T>(g, one);
        });
      });
    }
    accumulate(p.q, d_q);
    accumulate(p.k, d_k);
    accumulate(p.v, d_v);
  });
  return out;
}

}  // namespace

Tensor attention_packed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                        const Tensor& k_offsets, const AttentionOptions& options, bool has_q_offset) {
  const std::pair<const char*, const Tensor*> inputs[] = {{"q", &q}, {"k", &k}, {"v", &v}};
  for (const auto& [name, x] : inputs) {
    check_float(kName, name, *x);
    if (x->rank() != 2 && x->rank() != 3) {
      value_error(kName, ": ", name, " has shape ", x->shape(),
                  " but must be (heads, total length, features) or (total length, features)");
    }
    check_same_dtype(kName, name, *x, "q", q);
    if (x->rank() != q.rank()) {
      value_error(kName, ": ", name, " has shape ", x->shape(), " but q has shape ", q.shape(),
                  "; they must have as many axes");
    }
  }
  if (k.dim(-1) != q.dim(-1)) value_error(kName, ": key has ", k.dim(-1), " features but query has ", q.dim(-1));
  if (v.dim(-2) != k.dim(-2)) value_error(kName, ": value has ", v.dim(-2), " rows but key has ", k.dim(-2));
  if (q.rank() == 3) {
    const Index heads = q.dim(0), kv_heads = k.dim(0);
    if (v.dim(0) != kv_heads) value_error(kName, ": value has ", v.dim(0), " heads but key has ", kv_heads);
    if (kv_heads == 0 ? heads != 0 : heads % kv_heads != 0) {
      value_error(kName, ": query has ", heads, " heads, which is not a multiple of key's ", kv_heads);
    }
  }
  const std::vector<Index> q_starts = starts_of("offsets", offsets, "q", q.dim(-2));
  const std::vector<Index> k_starts =
      k_offsets ? starts_of("k_offsets", k_offsets, "k", k.dim(-2)) : starts_of("offsets", offsets, "k", k.dim(-2));
  if (k_starts.size() != q_starts.size()) {
    value_error(kName, ": k_offsets has ", k_starts.size(), " entries but offsets has ", q_starts.size());
  }
  const Index count = static_cast<Index>(q_starts.size()) - 1;
  if (options.q_offsets && options.q_offsets.size() != count) {
    value_error(kName, ": q_offset has ", options.q_offsets.size(), " entries but there are ", count, " sequences");
  }
  if (options.causal && !has_q_offset) {
    for (size_t n = 0; n + 1 < q_starts.size(); ++n) {
      const Index length = q_starts[n + 1] - q_starts[n], keys = k_starts[n + 1] - k_starts[n];
      if (length == keys) continue;
      value_error(kName, ": causal over ", length, " queries and ", keys, " keys (sequence ", n,
                  ") needs q_offset=, the position of each sequence's first query: 0 lets query i see keys 0 to i, "
                  "the difference of the lengths lets the last query see the last key");
    }
  }
  return renaming_errors("attention", kName, [&] {
    const Tensor out = attend_sequences(with_heads(q), with_heads(k), with_heads(v), q_starts, k_starts, options);
    return q.rank() == 3 ? out : reshape(out, {out.dim(1), out.dim(2)});
  });
}

}  // namespace attendo
