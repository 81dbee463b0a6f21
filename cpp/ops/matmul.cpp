// Matrix product, over any number of leading axes
//
//   forward    c = a b
//   backward   da = dc bᵀ      db = aᵀ dc      (summed over the axes that were broadcast)
//
// a: (…, m, k).  b: (…, k, n).  c: (…, m, n).   Article 001 §3.2.
#include "ops/matmul.h"

#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/gemm.h"
#include "ops/shape.h"

namespace attendo {
namespace {

// For each matrix of the result, which matrix of the operand it came from.
std::vector<Index> matrix_index(const Shape& batch, const Shape& own) {
  std::vector<Index> index(static_cast<size_t>(batch.size()));
  for (Index i = 0; i < batch.size(); ++i) {
    Index rest = i, offset = 0, stride = 1;
    for (int axis = batch.rank() - 1; axis >= 0; --axis) {
      const Index at = rest % batch[axis];
      rest /= batch[axis];
      const int own_axis = axis - (batch.rank() - own.rank());
      if (own_axis < 0) continue;
      if (own[own_axis] != 1) offset += at * stride;
      stride *= own[own_axis];
    }
    index[static_cast<size_t>(i)] = offset;
  }
  return index;
}

struct MatmulSaved {
  Tensor a, b;
  Index m, n, k, batch;
  std::vector<Index> a_index, b_index;
  bool b_shared;  // one b for all: a's matrices are one tall matrix
};

template <typename T>
void matmul_forward(T* c, const MatmulSaved& s) {
  Gemm<T> g;
  g.n = s.n, g.k = s.k;
  g.a_row = s.k, g.b_row = s.n, g.c_row = s.n;
  if (s.b_shared) {
    g.m = s.batch * s.m;
    g.a = s.a.data<T>(), g.b = s.b.data<T>(), g.c = c;
    gemm(g);
    return;
  }
  g.m = s.m;
  parallel_for(s.batch, [&](Index i) {
    Gemm<T> one = g;
    one.a = s.a.data<T>() + s.a_index[static_cast<size_t>(i)] * s.m * s.k;
    one.b = s.b.data<T>() + s.b_index[static_cast<size_t>(i)] * s.k * s.n;
    one.c = c + i * s.m * s.n;
    gemm(one);
  });
}

// Matrices of one operand that was broadcast receive several products: they are added in the order of the result.
template <typename T>
void matmul_backward(T* d_a, T* d_b, const T* d_c, const MatmulSaved& s) {
  Gemm<T> ga;  // da = dc · bᵀ
  ga.m = s.m, ga.n = s.k, ga.k = s.n;
  ga.a_row = s.n, ga.b_row = 1, ga.b_col = s.n, ga.c_row = s.k;
  Gemm<T> gb;  // db = aᵀ · dc
  gb.m = s.k, gb.n = s.n, gb.k = s.m;
  gb.a_row = 1, gb.a_col = s.k, gb.b_row = s.n, gb.c_row = s.n;
  if (s.b_shared) {
    if (d_a != nullptr) {
      ga.m = s.batch * s.m;
      ga.a = d_c, ga.b = s.b.data<T>(), ga.c = d_a;
      gemm(ga);
    }
    if (d_b != nullptr) {
      gb.k = s.batch * s.m;
      gb.a = s.a.data<T>(), gb.b = d_c, gb.c = d_b;
      gemm(gb);
    }
    return;
  }
  std::vector<bool> a_seen(static_cast<size_t>(s.batch)), b_seen(static_cast<size_t>(s.batch));
  for (Index i = 0; i < s.batch; ++i) {
    const auto a_at = static_cast<size_t>(s.a_index[static_cast<size_t>(i)]);
    const auto b_at = static_cast<size_t>(s.b_index[static_cast<size_t>(i)]);
    if (d_a != nullptr) {
      ga.a = d_c + i * s.m * s.n;
      ga.b = s.b.data<T>() + static_cast<Index>(b_at) * s.k * s.n;
      ga.c = d_a + static_cast<Index>(a_at) * s.m * s.k;
      ga.add = a_seen[a_at];
      a_seen[a_at] = true;
      gemm(ga);
    }
    if (d_b != nullptr) {
      gb.a = s.a.data<T>() + static_cast<Index>(a_at) * s.m * s.k;
      gb.b = d_c + i * s.m * s.n;
      gb.c = d_b + static_cast<Index>(b_at) * s.k * s.n;
      gb.add = b_seen[b_at];
      b_seen[b_at] = true;
      gemm(gb);
    }
  }
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_float("matmul", "a", a);
  check_float("matmul", "b", b);
  check_min_rank("matmul", "a", a, 2, "(..., m, k)");
  check_min_rank("matmul", "b", b, 2, "(..., k, n)");
  check_same_dtype("matmul", "b", b, "a", a);
  if (a.dim(-1) != b.dim(-2)) {
    value_error("matmul: a has shape ", a.shape(), " and b has shape ", b.shape(), "; a's last axis (", a.dim(-1),
                ") must equal b's second to last (", b.dim(-2), ")");
  }
  const Shape a_batch = a.shape().slice(0, a.rank() - 2);
  const Shape b_batch = b.shape().slice(0, b.rank() - 2);
  Shape shape;
  if (!try_broadcast(a_batch, b_batch, shape)) {
    value_error("matmul: a has shape ", a.shape(), " and b has shape ", b.shape(),
                "; their leading axes do not broadcast");
  }
  MatmulSaved s;
  s.a = a, s.b = b;
  s.m = a.dim(-2), s.n = b.dim(-1), s.k = a.dim(-1);
  s.batch = shape.size();
  s.b_shared = b_batch.size() == 1 && a_batch.size() == s.batch;
  if (!s.b_shared) {
    s.a_index = matrix_index(shape, a_batch);
    s.b_index = matrix_index(shape, b_batch);
  }
  shape.push_back(s.m);
  shape.push_back(s.n);
  Tensor c = Tensor::empty(shape, a.dtype());
  dispatch_float("matmul", "a", a, [&](auto zero) {
    using T = decltype(zero);
    matmul_forward<T>(c.data<T>(), s);
  });
  if (!needs_grad({&a, &b})) return c;
  record("matmul", {a, b}, {c}, Twice::kYes, [s = std::move(s)](const Tensors& d) {
    if (grad_enabled()) {
      if (s.a.requires_grad()) accumulate(s.a, sum_to_shape(matmul(d[0], swap_axes(s.b, -1, -2)), s.a.shape()));
      if (s.b.requires_grad()) accumulate(s.b, sum_to_shape(matmul(swap_axes(s.a, -1, -2), d[0]), s.b.shape()));
      return;
    }
    dispatch_float("matmul", "a", s.a, [&](auto zero) {
      using T = decltype(zero);
      Tensor d_a, d_b;
      // zeros: with an empty batch no product is ever written
      if (s.a.requires_grad()) d_a = Tensor::zeros(s.a.shape(), s.a.dtype());
      if (s.b.requires_grad()) d_b = Tensor::zeros(s.b.shape(), s.b.dtype());
      matmul_backward<T>(d_a ? d_a.data<T>() : nullptr, d_b ? d_b.data<T>() : nullptr, d[0].data<T>(), s);
      accumulate(s.a, d_a);
      accumulate(s.b, d_b);
    });
  });
  return c;
}

}  // namespace attendo
