// A linear layer with low-rank updates of its weight
//
//   forward    z = x Wᵀ + b + Σ_u s_u h_u B_uᵀ    h_u = drop(x) A_uᵀ    y = f(z)
//   backward   g_u = s_u dz B_u      dB_u = s_u dzᵀ h_u      dA_u = g_uᵀ drop(x)      dx = dz W + Σ_u drop'(g_u A_u)
//              dW = dzᵀ x, which is not computed where W is frozen: that is the point
//
// x, dx: (rows, in).  W, dW: (out, in), or int8.  A_u: (r, in).  B_u: (n, r), of n rows of W: columns begin … end of z and dz
// are meant above.  h_u, g_u: (rows, r).  s = α / r.  Kept: x and s h.
// B A is never made: r (in + n) multiplications a row, where W takes in · out. With B = 0 y is that of the linear layer to the
// bit.                                                                                      Hu et al. 2021, eq. 3 and §4.1.
#include "ops/lora.h"

#include "core/grad.h"
#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/linear.h"
#include "ops/linear_int8.h"
#include "ops/shape.h"

namespace attendo {
namespace {

constexpr const char* kOp = "lora";

struct LoraSaved {
  Tensor x, weight, bias;
  LowRanks updates;
  Tensors seen, hidden;  // of each update: drop(x), and s · drop(x) Aᵀ
  Index rows, in, out;
};

void check_update(const LowRank& u, const Tensor& x, Index in, Index out) {
  check_float(kOp, "a", u.a);
  check_float(kOp, "b", u.b);
  check_rank(kOp, "a", u.a, 2, "(rank, in)");
  check_rank(kOp, "b", u.b, 2, "(out, rank)");
  check_same_dtype(kOp, "a", u.a, "x", x);
  check_same_dtype(kOp, "b", u.b, "x", x);
  if (u.a.dim(1) != in) {
    value_error(kOp, ": a has shape ", u.a.shape(), " but must be (rank, in) with ", in, " features");
  }
  if (u.b.dim(1) != u.a.dim(0) || u.b.dim(0) != u.end - u.begin || u.begin < 0 || u.end > out) {
    value_error(kOp, ": b has shape ", u.b.shape(), " but must be (out, rank), which is ",
                Shape{std::min(u.end, out) - u.begin, u.a.dim(0)});
  }
}

template <typename T>
void scale_by(T* x, Index n, double factor) {
  if (factor == 1) return;
  const T s = static_cast<T>(factor);
  for (Index i = 0; i < n; ++i) x[i] *= s;
}

// y[:, begin … end] += h Bᵀ, h = s x Aᵀ
template <typename T>
void add_update(T* y, T* hidden, const T* x, const LowRank& u, const LoraSaved& s) {
  const Index rank = u.a.dim(0);
  linear_forward<T>(hidden, x, u.a.data<T>(), nullptr, s.rows, s.in, rank);
  scale_by(hidden, s.rows * rank, u.scale);
  Gemm<T> g;
  g.m = s.rows, g.n = u.end - u.begin, g.k = rank;
  g.a = hidden, g.a_row = rank;
  g.b = u.b.data<T>(), g.b_row = 1, g.b_col = rank;
  g.c = y + u.begin, g.c_row = s.out;
  g.add = true;
  if (g.k > 0) gemm(g);
}

// d_x += g A, where it is not null.
template <typename T>
void update_backward(T* d_x, bool add_x, const T* d_y, const LowRank& u, const T* x, const T* hidden,
                     const LoraSaved& s) {
  const Index rank = u.a.dim(0), n = u.end - u.begin;
  if (u.b.requires_grad()) {
    const GradTarget d_b = grad_target(u.b);
    Gemm<T> g;
    g.m = n, g.n = rank, g.k = s.rows;
    g.a = d_y + u.begin, g.a_row = 1, g.a_col = s.out;
    g.b = hidden, g.b_row = rank;
    g.c = d_b.buffer.data<T>(), g.c_row = rank;
    g.add = d_b.add;
    gemm(g);
  }
  if (d_x == nullptr && !u.a.requires_grad()) return;
  const Scratch<T> d_hidden(static_cast<size_t>(s.rows * rank));
  Gemm<T> g;
  g.m = s.rows, g.n = rank, g.k = n;
  g.a = d_y + u.begin, g.a_row = s.out;
  g.b = u.b.data<T>(), g.b_row = rank;
  g.c = d_hidden.get(), g.c_row = rank;
  gemm(g);
  scale_by(d_hidden.get(), s.rows * rank, u.scale);
  if (u.a.requires_grad()) {
    const GradTarget d_a = grad_target(u.a);
    linear_backward<T>(nullptr, d_a.buffer.data<T>(), d_a.add, nullptr, false, d_hidden.get(), x, u.a.data<T>(), s.rows,
                       s.in, rank);
  }
  if (d_x == nullptr) return;
  Gemm<T> back;
  back.m = s.rows, back.n = s.in, back.k = rank;
  back.a = d_hidden.get(), back.a_row = rank;
  back.b = u.a.data<T>(), back.b_row = s.in;
  back.c = d_x, back.c_row = s.in;
  back.add = add_x;
  gemm(back);
}

template <typename T>
void lora_backward(const Tensor& d_y, const LoraSaved& s) {
  const bool rounded = s.weight.dtype() == DType::kInt8;
  Tensor d_x, w = s.weight;
  if (s.x.requires_grad()) d_x = Tensor::empty(s.x.shape(), s.x.dtype());
  if (rounded && d_x) w = dequantize_int8(s.weight);
  GradTarget d_weight, d_bias;
  if (!rounded && s.weight.requires_grad()) d_weight = grad_target(s.weight);
  if (s.bias && s.bias.requires_grad()) d_bias = grad_target(s.bias);
  linear_backward<T>(data_or_null<T>(d_x), data_or_null<T>(d_weight.buffer), d_weight.add,
                     data_or_null<T>(d_bias.buffer), d_bias.add, d_y.data<T>(), s.x.data<T>(), w.data<T>(), s.rows,
                     s.in, s.out);
  Tensors d_seen(s.updates.size());
  for (size_t i = 0; i < s.updates.size(); ++i) {
    const bool whole = s.seen[i].same_as(s.x);
    if (!whole && s.seen[i].requires_grad()) d_seen[i] = Tensor::empty(s.x.shape(), s.x.dtype());
    update_backward<T>(data_or_null<T>(whole ? d_x : d_seen[i]), whole, d_y.data<T>(), s.updates[i],
                       s.seen[i].data<T>(), s.hidden[i].data<T>(), s);
  }
  accumulate(s.x, d_x);
  for (size_t i = 0; i < s.updates.size(); ++i) accumulate(s.seen[i], d_seen[i]);
}

// x, bias, W unless it is int8, then of each update A, B and drop(x) where that is not x itself.
Tensors inputs_of(const LoraSaved& s) {
  Tensors inputs{s.x, s.bias, s.weight.dtype() == DType::kInt8 ? Tensor() : s.weight};
  for (size_t i = 0; i < s.updates.size(); ++i) {
    inputs.push_back(s.updates[i].a);
    inputs.push_back(s.updates[i].b);
    inputs.push_back(s.seen[i].same_as(s.x) ? Tensor() : s.seen[i]);
  }
  return inputs;
}

// The same of other operations, on the inputs `now`.
Tensor expanded(const LoraSaved& s, const Tensors& now) {
  const Tensor weight = now[2] ? now[2] : dequantize_int8(s.weight);
  Tensor y = linear(now[0], weight, now[1]);
  for (size_t i = 0; i < s.updates.size(); ++i) {
    const LowRank& u = s.updates[i];
    const Tensor& x = now[5 + 3 * i] ? now[5 + 3 * i] : now[0];
    const Tensor part = scale(linear(linear(x, now[3 + 3 * i], {}), now[4 + 3 * i], {}), u.scale);
    Shape before = y.shape(), behind = y.shape();
    before[-1] = u.begin, behind[-1] = s.out - u.end;
    y = add(y, concatenate({Tensor::zeros(before, y.dtype()), part, Tensor::zeros(behind, y.dtype())}, -1));
  }
  return y;
}

}  // namespace

Tensor lora(const Tensor& x, const Tensor& weight, const Tensor& bias, const LowRanks& updates, Activation activation) {
  check_defined(kOp, "x", x);
  check_defined(kOp, "weight", weight);
  LoraSaved s{x, weight, bias, updates, {}, {}, 0, 0, 0};
  Tensor y;
  {
    // What the base gives is this operation's own memory.
    const NoGrad no_grad;
    const Tensor base = weight.detach();
    y = linear(x, base, bias);
  }
  s.in = weight.dim(1), s.out = weight.dim(0), s.rows = x.shape().product(0, x.rank() - 1);
  for (const LowRank& u : updates) {
    check_update(u, x, s.in, s.out);
    s.seen.push_back(u.drop ? u.drop(x) : x);
    Shape shape = x.shape();
    shape[-1] = u.a.dim(0);
    s.hidden.push_back(Tensor::empty(shape, x.dtype()));
  }
  dispatch_float(kOp, "x", x, [&](auto zero) {
    using T = decltype(zero);
    for (size_t i = 0; i < updates.size(); ++i) {
      add_update<T>(y.data<T>(), s.hidden[i].data<T>(), s.seen[i].data<T>(), updates[i], s);
    }
  });
  const Tensors inputs = inputs_of(s);
  if (!needs_grad(inputs)) return activate(y, activation);
  if (weight.impl()->products) {
    value_error(kOp,
                ": weight is quantized, and products of whole numbers have no gradient: train updates of a model in ",
                "floats or of to_int8(), or call this one under attendo.no_grad()");
  }
  record(kOp, inputs, {y}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      return accumulate_through(inputs_of(s), d, [&s](const Tensors& now) -> Tensors { return {expanded(s, now)}; });
    }
    dispatch_float(kOp, "x", s.x, [&](auto zero) { lora_backward<decltype(zero)>(d[0], s); });
  });
  return activate(y, activation);
}

void merge_low_rank(const Tensor& weight, const LowRanks& updates) {
  for (const LowRank& u : updates) {
    const Tensor scaled = u.b.clone();
    dispatch_float(kOp, "weight", weight, [&](auto zero) {
      using T = decltype(zero);
      scale_by(scaled.data<T>(), scaled.size(), u.scale);
      Gemm<T> g;
      g.m = u.end - u.begin, g.n = weight.dim(1), g.k = u.a.dim(0);
      g.a = scaled.data<T>(), g.a_row = g.k;
      g.b = u.a.data<T>(), g.b_row = g.n;
      g.c = weight.data<T>() + u.begin * g.n, g.c_row = g.n;
      g.add = true;
      gemm(g);
    });
  }
}

}  // namespace attendo
