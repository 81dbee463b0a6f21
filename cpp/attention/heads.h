// What every attention over q (…, H, L, D), k (…, Hkv, S, D), v (…, Hkv, S, Dv) asks of its arrays first.
#pragma once

#include <cmath>
#include <optional>

#include "core/tensor.h"

namespace attendo {

struct Heads {
  Index batch = 1, heads = 1, kv_heads = 1, length = 0, keys = 0, d = 0, d_v = 0;

  Index group() const { return kv_heads == 0 ? 1 : heads / kv_heads; }
};

// Throws an error that begins with `op` where the three do not fit one another.
inline Heads check_heads(const char* op, const Tensor& q, const Tensor& k, const Tensor& v) {
  const std::pair<const char*, const Tensor*> inputs[] = {{"q", &q}, {"k", &k}, {"v", &v}};
  for (const auto& [name, x] : inputs) {
    check_float(op, name, *x);
    check_min_rank(op, name, *x, 2, "(..., length, features)");
    check_same_dtype(op, name, *x, "q", q);
    if (x->rank() != q.rank()) {
      value_error(op, ": ", name, " has shape ", x->shape(), " but q has shape ", q.shape(),
                  "; they must have as many axes");
    }
  }
  Heads p;
  p.length = q.dim(-2), p.keys = k.dim(-2), p.d = q.dim(-1), p.d_v = v.dim(-1);
  if (k.dim(-1) != p.d) value_error(op, ": key has ", k.dim(-1), " features but query has ", p.d);
  if (v.dim(-2) != p.keys) value_error(op, ": value has ", v.dim(-2), " positions but key has ", p.keys);
  if (q.rank() >= 3) {
    p.heads = q.dim(-3), p.kv_heads = k.dim(-3);
    if (v.dim(-3) != p.kv_heads) value_error(op, ": value has ", v.dim(-3), " heads but key has ", p.kv_heads);
    if (p.kv_heads == 0 ? p.heads != 0 : p.heads % p.kv_heads != 0) {
      value_error(op, ": query has ", p.heads, " heads, which is not a multiple of key's ", p.kv_heads);
    }
  }
  for (int axis = 0; axis < q.rank() - 3; ++axis) {
    for (const auto& [name, x] : inputs) {
      if (x->dim(axis) != q.dim(axis)) {
        value_error(op, ": ", name, " has shape ", x->shape(), " but q has shape ", q.shape(), "; axis ", axis,
                    " must agree");
      }
    }
    p.batch *= q.dim(axis);
  }
  return p;
}

// The axes of `like`, with the last three (as many as it has) replaced: (…, heads, rows, columns).
inline Shape with_heads(const Shape& like, Index heads, Index rows, Index columns) {
  Shape shape = like;
  if (shape.rank() >= 3) shape[-3] = heads;
  shape[-2] = rows, shape[-1] = columns;
  return shape;
}

// scale as given, or 1/√d.
inline double scale_or_default(const char* op, const std::optional<double>& scale, Index d) {
  const double value = scale.value_or(d > 0 ? 1.0 / std::sqrt(static_cast<double>(d)) : 1.0);
  if (!std::isfinite(value)) value_error(op, ": scale is ", value, " but must be a finite number");
  return value;
}

// int64 (batch,), each 0 to `most`; undefined passes.
inline void check_lengths(const char* op, const char* arg, const Tensor& lengths, Index batch, Index most,
                          const char* of_what) {
  if (!lengths) return;
  if (lengths.dtype() != DType::kInt64) type_error(op, ": ", arg, " must be of integers");
  if (lengths.size() != batch) {
    value_error(op, ": ", arg, " has ", lengths.size(), " entries but the batch has ", batch);
  }
  for (Index b = 0; b < batch; ++b) {
    const Index n = lengths.data<std::int64_t>()[b];
    if (n < 0 || n > most) value_error(op, ": ", arg, " holds ", n, " but must hold 0 to ", most, ", ", of_what);
  }
}

// How many of `most` rows of batch entry b there are.
inline Index length_of(const Tensor& lengths, Index b, Index most) {
  return lengths ? lengths.data<std::int64_t>()[b] : most;
}

}  // namespace attendo
