// Low-rank attention: scores from r of D features
//
//   out = attention(Q A, K B, V)      scores (Q A)(K B)ᵀ = Q (A Bᵀ) Kᵀ, with the scale of D features
//
//   backward   of attention, then   dQ = d(QA) Aᵀ   dA = Qᵀ d(QA)   and alike for K and B.  A row whose gradient is 0 adds
//              nothing to dA or dB, whatever it holds: a NaN behind a mask does not leak.
//
// The best A and B of given Q and K. Truncating the singular values of Q Kᵀ gives the nearest scores of rank r (Eckart and
// Young 1936). With the D × D matrices G = KᵀK, M = G^½ QᵀQ G^½ and W the eigenvectors of the r largest eigenvalues of M:
//
//   A = G^½ W      B = G^-½ W      Q A (K B)ᵀ = Q Kᵀ projected on its r first right singular vectors;  r = D: Q Kᵀ itself
//
// The eigenvalues of M are the squares of the singular values; those left out add up to the squared error. Rows of zeros in
// G's spectrum stay zeros (the pseudo-inverse).
//
// q: (B, H, L, D).  k: (B, Hkv, S, D).  A, B: (D, r) or (Hkv, D, r).   Articles 000 §8.2 and 003 §8.4 (matrix decomposition).
#include "attention/low_rank.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "attention/heads.h"
#include "core/parallel.h"
#include "ops/gemm.h"

namespace attendo {
namespace {

// ---- x basis --------------------------------------------------------------------------------------------------------

// x (B, H, N, D), basis (D, r) or (groups, D, r) -> y (B, H, N, r): head h by basis h / (H / groups).
struct FeatureProjection {
  Tensor x, basis;
  Index blocks, rows, d, r;  // x is (blocks, rows, D), and block i is of basis i % groups

  Index groups() const { return basis.rank() == 3 ? basis.dim(0) : 1; }
  Index basis_at(Index block) const { return block % groups() * d * r; }
};

template <typename T>
void project_forward(T* y, const FeatureProjection& p) {
  parallel_for(p.blocks, [&](Index i) {
    Gemm<T> g;
    g.m = p.rows, g.n = p.r, g.k = p.d;
    g.a = p.x.data<T>() + i * p.rows * p.d, g.a_row = p.d;
    g.b = p.basis.data<T>() + p.basis_at(i), g.b_row = p.r;
    g.c = y + i * p.rows * p.r, g.c_row = p.r;
    gemm(g);
  });
}

// d_x and d_basis may be null.
template <typename T>
void project_backward(T* d_x, T* d_basis, const T* d_y, const FeatureProjection& p) {
  if (d_x != nullptr) {
    parallel_for(p.blocks, [&](Index i) {
      Gemm<T> g;  // dx = dy · basisᵀ
      g.m = p.rows, g.n = p.d, g.k = p.r;
      g.a = d_y + i * p.rows * p.r, g.a_row = p.r;
      g.b = p.basis.data<T>() + p.basis_at(i), g.b_row = 1, g.b_col = p.r;
      g.c = d_x + i * p.rows * p.d, g.c_row = p.d;
      gemm(g);
    });
  }
  if (d_basis == nullptr) return;
  std::fill_n(d_basis, p.basis.size(), T(0));
  if (p.rows == 0) return;
  parallel_for(p.groups(), [&](Index group) {
    Scratch<T> selected(static_cast<size_t>(p.rows * p.d));
    for (Index i = group; i < p.blocks; i += p.groups()) {
      const T* x = p.x.data<T>() + i * p.rows * p.d;
      const T* d = d_y + i * p.rows * p.r;
      for (Index row = 0; row < p.rows; ++row) {
        const bool counts = std::any_of(d + row * p.r, d + (row + 1) * p.r, [](T value) { return value != T(0); });
        T* to = selected.get() + row * p.d;
        if (counts) {
          std::copy_n(x + row * p.d, p.d, to);
        } else {
          std::fill_n(to, p.d, T(0));
        }
      }
      Gemm<T> g;  // dbasis += xᵀ · dy
      g.m = p.d, g.n = p.r, g.k = p.rows;
      g.a = selected.get(), g.a_row = 1, g.a_col = p.d;
      g.b = d, g.b_row = p.r;
      g.c = d_basis + p.basis_at(i), g.c_row = p.r;
      g.add = true;
      gemm(g);
    }
  });
}

Tensor project_features(const Tensor& x, const Tensor& basis, Index batch, Index kv_heads) {
  const Index d = x.dim(-1), r = basis.dim(-1);
  const Index blocks = basis.rank() == 3 ? batch * kv_heads : batch;
  const FeatureProjection p{x, basis, blocks, blocks == 0 || d == 0 ? 0 : x.size() / d / blocks, d, r};
  Shape shape = x.shape();
  shape[-1] = r;
  const Tensor y = Tensor::zeros(shape, x.dtype());
  dispatch_float("low_rank", "q", x, [&](auto zero) {
    using T = decltype(zero);
    if (p.rows > 0) project_forward<T>(y.data<T>(), p);
  });
  if (!needs_grad({&x, &basis})) return y;
  record("low_rank", {x, basis}, {y}, [p](const Tensors& d_outputs) {
    Tensor d_x, d_basis;
    if (p.x.requires_grad()) d_x = Tensor::zeros(p.x.shape(), p.x.dtype());
    if (p.basis.requires_grad()) d_basis = Tensor::empty(p.basis.shape(), p.basis.dtype());
    dispatch_float("low_rank", "q", p.x, [&](auto zero) {
      using T = decltype(zero);
      project_backward<T>(p.rows > 0 ? data_or_null<T>(d_x) : nullptr, data_or_null<T>(d_basis), d_outputs[0].data<T>(),
                          p);
    });
    accumulate(p.x, d_x);
    accumulate(p.basis, d_basis);
  });
  return y;
}

void check_basis(const char* name, const Tensor& basis, const Tensor& q, const Heads& p) {
  check_float("low_rank", name, basis);
  check_same_dtype("low_rank", name, basis, "q", q);
  const bool heads = basis.rank() == 3 && q.rank() >= 3;
  if ((basis.rank() != 2 && !heads) || basis.dim(-2) != p.d || (heads && basis.dim(0) != p.kv_heads)) {
    value_error("low_rank: ", name, " has shape ", basis.shape(), " but must be (", p.d, ", r)",
                q.rank() >= 3 ? concat(" or (", p.kv_heads, ", ", p.d, ", r)") : "", ": a row for each feature of q");
  }
}

// ---- eigenvectors ---------------------------------------------------------------------------------------------------

// Jacobi's method with cyclic sweeps: a (n, n) symmetric becomes diagonal, rows of `vectors` the eigenvectors.
// Golub and Van Loan 2013, §8.5. Always the same rotations in the same order.
void jacobi(std::vector<double>& a, std::vector<double>& vectors, Index n) {
  auto entry = [n](std::vector<double>& x, Index i, Index j) -> double& { return x[static_cast<size_t>(i * n + j)]; };
  vectors.assign(static_cast<size_t>(n * n), 0.0);
  for (Index i = 0; i < n; ++i) entry(vectors, i, i) = 1;
  double norm = 0;
  for (const double x : a) norm += x * x;
  for (int sweep = 0; sweep < 40; ++sweep) {
    double off = 0;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < i; ++j) off += 2 * entry(a, i, j) * entry(a, i, j);
    }
    if (!(off > 1e-31 * norm)) return;
    for (Index i = 0; i + 1 < n; ++i) {
      for (Index j = i + 1; j < n; ++j) {
        const double aij = entry(a, i, j);
        if (aij == 0) continue;
        const double theta = (entry(a, j, j) - entry(a, i, i)) / (2 * aij);
        const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::hypot(theta, 1.0));
        const double c = 1 / std::hypot(t, 1.0), s = t * c;
        double *row_i = &entry(a, i, 0), *row_j = &entry(a, j, 0);
        for (Index k = 0; k < n; ++k) {
          const double x = row_i[k], y = row_j[k];
          row_i[k] = c * x - s * y, row_j[k] = s * x + c * y;
        }
        for (Index k = 0; k < n; ++k) {
          const double x = entry(a, k, i), y = entry(a, k, j);
          entry(a, k, i) = c * x - s * y, entry(a, k, j) = s * x + c * y;
        }
        entry(a, i, j) = entry(a, j, i) = 0;
        double *v_i = &entry(vectors, i, 0), *v_j = &entry(vectors, j, 0);
        for (Index k = 0; k < n; ++k) {
          const double x = v_i[k], y = v_j[k];
          v_i[k] = c * x - s * y, v_j[k] = s * x + c * y;
        }
      }
    }
  }
}

// xᵀx of (blocks of) rows of d, in units of the largest entry squared. `at(i)`: where block i begins.
template <typename T, typename At>
std::vector<double> gram(Index blocks, Index rows, Index d, const At& at, const char* name) {
  double largest = 0;
  bool finite = true;
  for (Index i = 0; i < blocks; ++i) {
    for (Index x = 0; x < rows * d; ++x) {
      const double value = std::abs(static_cast<double>(at(i)[x]));
      finite = finite && std::isfinite(value);
      largest = std::max(largest, value);
    }
  }
  if (!finite)
    value_error("low_rank_basis: ", name, " holds NaN or inf, of which there is no basis; leave padding out");
  std::vector<double> g(static_cast<size_t>(d * d), 0.0);
  if (largest == 0) return g;
  std::vector<double> copy(static_cast<size_t>(rows * d));
  for (Index i = 0; i < blocks; ++i) {
    std::transform(at(i), at(i) + rows * d, copy.begin(), [&](T x) { return static_cast<double>(x) / largest; });
    Gemm<double> p;
    p.m = p.n = d, p.k = rows;
    p.a = copy.data(), p.a_row = 1, p.a_col = d;
    p.b = copy.data(), p.b_row = d;
    p.c = g.data(), p.c_row = d, p.add = true;
    gemm(p);
  }
  return g;
}

// a (…), b: (d, r) from the Gram matrices of the queries and the keys.
template <typename T>
void best_basis(T* a, T* b, const std::vector<double>& of_q, std::vector<double> of_k, Index d, Index r) {
  const auto size = static_cast<size_t>(d * d);
  std::vector<double> u, root(size), inverse(size), m(size), half(size);
  jacobi(of_k, u, d);
  double largest = 0;
  for (Index i = 0; i < d; ++i) largest = std::max(largest, of_k[static_cast<size_t>(i * d + i)]);
  for (Index e = 0; e < d; ++e) {
    const double value = of_k[static_cast<size_t>(e * d + e)];
    if (!(value > 1e-15 * static_cast<double>(d) * largest)) continue;  // none of the keys has this direction
    const double s = std::sqrt(value);
    for (Index i = 0; i < d; ++i) {
      const double x = u[static_cast<size_t>(e * d + i)];
      for (Index j = 0; j < d; ++j) {
        const double y = x * u[static_cast<size_t>(e * d + j)];
        root[static_cast<size_t>(i * d + j)] += y * s;
        inverse[static_cast<size_t>(i * d + j)] += y / s;
      }
    }
  }
  auto times = [d](double* c, const double* x, const double* y) {
    Gemm<double> g;
    g.m = g.n = g.k = d, g.a = x, g.a_row = d, g.b = y, g.b_row = d, g.c = c, g.c_row = d;
    gemm(g);
  };
  times(half.data(), root.data(), of_q.data());
  times(m.data(), half.data(), root.data());
  for (Index i = 0; i < d; ++i) {  // what rounding took from its symmetry
    for (Index j = 0; j < i; ++j) {
      double &x = m[static_cast<size_t>(i * d + j)], &y = m[static_cast<size_t>(j * d + i)];
      x = y = (x + y) / 2;
    }
  }
  jacobi(m, u, d);
  std::vector<Index> order(static_cast<size_t>(d));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(), [&](Index x, Index y) {
    return m[static_cast<size_t>(x * d + x)] > m[static_cast<size_t>(y * d + y)];
  });
  for (Index e = 0; e < r; ++e) {
    const double* w = &u[static_cast<size_t>(order[static_cast<size_t>(e)] * d)];
    for (Index i = 0; i < d; ++i) {
      double x = 0, y = 0;
      for (Index j = 0; j < d; ++j) {
        x += root[static_cast<size_t>(i * d + j)] * w[j];
        y += inverse[static_cast<size_t>(i * d + j)] * w[j];
      }
      a[i * r + e] = static_cast<T>(x), b[i * r + e] = static_cast<T>(y);
    }
  }
}

}  // namespace

AttentionResult low_rank(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& basis_q,
                         const Tensor& basis_k, AttentionOptions options, bool return_weights) {
  const Heads p = check_heads("low_rank", q, k, v);
  options.scale = scale_or_default("low_rank", options.scale, p.d);
  const Tensor& of_k = basis_k ? basis_k : basis_q;
  check_basis("basis_q", basis_q, q, p);
  if (basis_k) check_basis("basis_k", basis_k, q, p);
  if (basis_q.dim(-1) != of_k.dim(-1)) {
    value_error("low_rank: basis_k has ", of_k.dim(-1), " columns but basis_q has ", basis_q.dim(-1));
  }
  return scaled_dot_product(project_features(q, basis_q, p.batch, p.kv_heads),
                            project_features(k, of_k, p.batch, p.kv_heads), v, options, return_weights);
}

std::pair<Tensor, Tensor> low_rank_basis(const Tensor& q, const Tensor& k, Index rank) {
  check_float("low_rank_basis", "q", q);
  check_float("low_rank_basis", "k", k);
  check_min_rank("low_rank_basis", "k", k, 2, "(..., length, features)");
  Shape v_shape = k.shape();
  v_shape[-1] = 0;
  const Heads p = check_heads("low_rank_basis", q, k, Tensor::empty(v_shape, k.dtype()));
  if (rank < 1 || rank > p.d) {
    value_error("low_rank_basis: rank is ", rank, " but must be 1 to ", p.d, ", the number of features");
  }
  const Shape shape = q.rank() >= 3 ? Shape{p.kv_heads, p.d, rank} : Shape{p.d, rank};
  const Tensor a = Tensor::empty(shape, q.dtype()), b = Tensor::empty(shape, q.dtype());
  dispatch_float("low_rank_basis", "q", q, [&](auto zero) {
    using T = decltype(zero);
    const Index q_rows = p.group() * p.length;
    for (Index h = 0; h < p.kv_heads; ++h) {  // not in parallel: the first error is always the same one
      auto of_q = gram<T>(
          p.batch, q_rows, p.d, [&](Index i) { return q.data<T>() + (i * p.kv_heads + h) * q_rows * p.d; }, "q");
      auto of_k = gram<T>(
          p.batch, p.keys, p.d, [&](Index i) { return k.data<T>() + (i * p.kv_heads + h) * p.keys * p.d; }, "k");
      best_basis<T>(a.data<T>() + h * p.d * rank, b.data<T>() + h * p.d * rank, of_q, std::move(of_k), p.d, rank);
    }
  });
  return {a, b};
}

}  // namespace attendo
