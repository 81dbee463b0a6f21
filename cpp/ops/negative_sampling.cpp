// Negative sampling: the loss of word vectors that tell a true neighbour from words drawn at random
//
//   forward    h_b = mean of W[words_b]                                    (skip-gram: the one word)
//              x_bk = h_b · U[o_bk],   o_b = (target_b, negatives_b)       k = 0 … K
//              loss_b = -log σ(x_b0) - Σ_{k>0} log σ(-x_bk)
//   backward   dx_b0 = -dloss_b σ(-x_b0),   dx_bk = dloss_b σ(x_bk)
//              dU_v = Σ_{bk: o_bk = v} dx_bk h_b,   dh_b = Σ_k dx_bk U[o_bk]
//              dW_v = Σ_{b: v in words_b} dh_b / (number of words_b)
//
// words: (B,) or (B, C), -1 where there is no word.  targets, loss: (B,).  negatives: (B, K).  W, U: (V, d).
// Mikolov et al. 2013, "Distributed representations of words and phrases", eq. 4.   Article 004 §3.2.
//
// With z_b0 = -x_b0, z_bk = x_bk the loss is Σ log(1 + e^z). Backward keeps h and the slopes σ(z).
#include "ops/negative_sampling.h"

#include <algorithm>

#include "core/cost.h"
#include "core/grad.h"
#include "core/parallel.h"
#include "kernels/tables.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace attendo {
namespace {

struct Batch {
  Index size = 0, outputs = 0, d = 0;  // B, 1 + K, d
  Tensor word_ids;                     // without the -1, a pair's words together
  Tensor pair_of_word;                 // whose word each is
  std::vector<Index> start;            // (B + 1,): where a pair's words begin
  Tensor share;                        // 1 / number of the pair's words, a word each; undefined where all have one
  Tensor output_ids;                   // (B, 1 + K): the target first
};

Batch make_batch(const Tensor& words, const Tensor& targets, const Tensor& negatives, DType dtype, Index d) {
  const Index size = words.dim(0), c = words.rank() == 2 ? words.dim(1) : 1, k = negatives.dim(1) + 1;
  Batch b;
  b.size = size, b.outputs = k, b.d = d;
  b.start.resize(static_cast<size_t>(size) + 1);
  b.output_ids = Tensor::empty({size, k}, DType::kInt64);
  const std::int64_t* id = words.data<std::int64_t>();
  Index m = 0;
  for (Index i = 0; i < size * c; ++i) m += id[i] >= 0;
  b.word_ids = Tensor::empty({m}, DType::kInt64);
  b.pair_of_word = Tensor::empty({m}, DType::kInt64);
  m = 0;
  for (Index i = 0; i < size; ++i) {
    b.start[static_cast<size_t>(i)] = m;
    for (Index j = i * c; j < (i + 1) * c; ++j) {
      if (id[j] < 0) continue;
      b.word_ids.data<std::int64_t>()[m] = id[j];
      b.pair_of_word.data<std::int64_t>()[m++] = i;
    }
    std::int64_t* out = b.output_ids.data<std::int64_t>() + i * k;
    out[0] = targets.data<std::int64_t>()[i];
    std::copy_n(negatives.data<std::int64_t>() + i * (k - 1), k - 1, out + 1);
  }
  b.start.back() = m;
  if (c == 1) return b;
  b.share = Tensor::empty({m}, dtype);
  dispatch_float("negative_sampling", "input_vectors", b.share, [&](auto zero) {
    using T = decltype(zero);
    for (Index i = 0; i < size; ++i) {
      const Index first = b.start.data()[i], last = b.start.data()[i + 1];
      std::fill(b.share.data<T>() + first, b.share.data<T>() + last, T(1) / static_cast<T>(last - first));
    }
  });
  return b;
}

// h: (B, d), slope: (B, 1 + K), loss: (B,)
template <typename T>
void negative_sampling_forward(T* loss, T* h, T* slope, const Batch& b, const T* w, const T* u) {
  const Index k = b.outputs, d = b.d;
  const auto& kernels = kernels::table_kernels<T>();
  count_multiply_adds(b.size * k * d);
  parallel_ranges(b.size, rows_per_task(2 * k * d), [&](Index begin, Index end) {
    const Index n = end - begin;
    kernels.sum_rows(h + begin * d, nullptr, w, b.word_ids.data<std::int64_t>(), b.share ? b.share.data<T>() : nullptr,
                     b.start.data() + begin, n, d, false);
    Scratch<T> terms(static_cast<size_t>(n * k));
    T* z = terms.get();
    kernels.dot_rows(z, h + begin * d, u, b.output_ids.data<std::int64_t>() + begin * k, n, k, d);
    for (Index i = 0; i < n; ++i) z[i * k] = -z[i * k];
    kernels.softplus(z, slope + begin * k, z, n * k);
    for (Index i = 0; i < n; ++i) {
      T total = 0;
      for (Index j = 0; j < k; ++j) total += z[i * k + j];
      loss[begin + i] = total;
    }
  });
}

// d_x from the slopes, and d_h where it is wanted.
template <typename T>
void negative_sampling_backward(T* d_x, T* d_h, const T* d_loss, const T* slope, const Batch& b, const T* u) {
  const Index k = b.outputs, d = b.d;
  count_multiply_adds((d_h == nullptr ? 1 : 2) * b.size * k * d);  // dU, dh
  parallel_ranges(b.size, rows_per_task(2 * k * d), [&](Index begin, Index end) {
    Scratch<Index> start(static_cast<size_t>(end - begin + 1));
    for (Index i = begin; i < end; ++i) {
      start.get()[i - begin] = i * k;
      d_x[i * k] = -d_loss[i] * slope[i * k];
      for (Index j = 1; j < k; ++j) d_x[i * k + j] = d_loss[i] * slope[i * k + j];
    }
    start.get()[end - begin] = end * k;
    if (d_h == nullptr) return;
    kernels::table_kernels<T>().sum_rows(d_h + begin * d, nullptr, u, b.output_ids.data<std::int64_t>(), d_x,
                                         start.get(), end - begin, d, false);
  });
}

// What each position of the groups stands for: index[s] = of[order[s]], weight[s] = factor[order[s]].
template <typename T>
void gather(std::int64_t* index, T* weight, const RowGroups& groups, const std::int64_t* of, Index divisor,
            const T* factor) {
  for (Index s = 0; s < groups.positions(); ++s) {
    const Index at = groups.order.data<std::int64_t>()[s];
    index[s] = of != nullptr ? of[at] : at / divisor;
    if (factor != nullptr) weight[s] = factor[at];
  }
}

template <typename T>
void accumulate_table(const Tensor& table, const Tensor& ids, const Tensor& x, const std::int64_t* of, Index divisor,
                      const Tensor& factor, bool sparse) {
  const RowGroups groups = group_rows(ids.data<std::int64_t>(), ids.size(), table.dim(0));
  Scratch<std::int64_t> index(static_cast<size_t>(ids.size()));
  const Tensor weight = factor ? Tensor::empty({ids.size()}, table.dtype()) : Tensor();
  gather<T>(index.get(), weight ? weight.data<T>() : nullptr, groups, of, divisor, weight ? factor.data<T>() : nullptr);
  accumulate_groups(table, groups, x, index.get(), weight, sparse);
}

// In differentiable operations: log(1 + e^z) as minus the second of log softmax(z, 0).
Tensor expanded(const Batch& b, const Tensor& w, const Tensor& u) {
  const Index n = b.size * b.outputs;
  Tensor h = gather_rows(w, b.word_ids);
  if (b.share) h = multiply(h, b.share.view({b.share.size(), 1}));
  h = scatter_rows(h, b.pair_of_word, b.size);
  const Tensor rows = reshape(gather_rows(u, b.output_ids), {b.size, b.outputs, b.d});
  const Tensor x = sum(multiply(rows, reshape(h, {b.size, 1, b.d})), std::vector<int>{2});
  const Tensor sign = Tensor::full({1, b.outputs}, w.dtype(), 1.0);
  dispatch_float("negative_sampling", "input_vectors", w, [&](auto zero) { sign.data<decltype(zero)>()[0] = -1; });
  const Tensor z = reshape(multiply(x, sign), {n, 1});
  const Tensor log_p = log_softmax(concatenate({z, Tensor::zeros({n, 1}, w.dtype())}, 1));
  return scale(sum(reshape(take(log_p, 1, 1, 2), {b.size, b.outputs}), std::vector<int>{1}), -1);
}

void check_arguments(const Tensor& words, const Tensor& targets, const Tensor& negatives, const Tensor& w,
                     const Tensor& u) {
  const char* op = "negative_sampling";
  check_float(op, "input_vectors", w);
  check_rank(op, "input_vectors", w, 2, "(V, d)");
  check_float(op, "output_vectors", u);
  check_rank(op, "output_vectors", u, 2, "(V, d)");
  check_same_dtype(op, "input_vectors", w, "output_vectors", u);
  if (u.dim(1) != w.dim(1)) {
    value_error(op, ": output_vectors has ", u.dim(1), " features but input_vectors has ", w.dim(1));
  }
  check_ids(op, "words", words, w.dim(0), "input_vectors", -1);
  if (words.rank() != 1 && words.rank() != 2) {
    value_error(op, ": words has shape ", words.shape(), " but must have 1 or 2 axes (batch,) or (batch, window)");
  }
  const Index size = words.dim(0);
  check_ids(op, "targets", targets, u.dim(0), "output_vectors");
  check_shape(op, "targets", targets, {size});
  check_ids(op, "negatives", negatives, u.dim(0), "output_vectors");
  check_rank(op, "negatives", negatives, 2, "(batch, negatives)");
  if (negatives.dim(0) != size) {
    value_error(op, ": negatives has ", negatives.dim(0), " rows but words has ", size);
  }
}

}  // namespace

Tensor negative_sampling(const Tensor& words, const Tensor& targets, const Tensor& negatives,
                         const Tensor& input_vectors, const Tensor& output_vectors, bool sparse) {
  check_arguments(words, targets, negatives, input_vectors, output_vectors);
  const DType dtype = input_vectors.dtype();
  const auto batch = std::make_shared<const Batch>(make_batch(words, targets, negatives, dtype, input_vectors.dim(1)));
  const Tensor h = Tensor::empty({batch->size, batch->d}, dtype);
  const Tensor slope = Tensor::empty({batch->size, batch->outputs}, dtype);
  const Tensor loss = Tensor::empty({batch->size}, dtype);
  dispatch_float("negative_sampling", "input_vectors", input_vectors, [&](auto zero) {
    using T = decltype(zero);
    negative_sampling_forward<T>(loss.data<T>(), h.data<T>(), slope.data<T>(), *batch, input_vectors.data<T>(),
                                 output_vectors.data<T>());
  });
  if (!needs_grad({&input_vectors, &output_vectors})) return loss;
  record(sparse ? "sparse negative_sampling" : "negative_sampling", {input_vectors, output_vectors}, {loss},
         sparse ? Twice::kNo : Twice::kYes,
         [batch, h, slope, w = input_vectors, u = output_vectors, sparse](const Tensors& grad) {
           if (grad_enabled()) {
             return accumulate_through(
                 {w, u}, grad, [&batch](const Tensors& p) -> Tensors { return {expanded(*batch, p[0], p[1])}; });
           }
           dispatch_float("negative_sampling", "input_vectors", w, [&](auto zero) {
             using T = decltype(zero);
             const Batch& b = *batch;
             const Tensor d_x = Tensor::empty({b.size * b.outputs}, w.dtype());
             const Tensor d_h = w.requires_grad() ? Tensor::empty({b.size, b.d}, w.dtype()) : Tensor();
             negative_sampling_backward<T>(d_x.data<T>(), d_h ? d_h.data<T>() : nullptr, grad[0].data<T>(),
                                           slope.data<T>(), b, u.data<T>());
             if (u.requires_grad()) accumulate_table<T>(u, b.output_ids, h, nullptr, b.outputs, d_x, sparse);
             if (!d_h) return;
             accumulate_table<T>(w, b.word_ids, d_h, b.pair_of_word.data<std::int64_t>(), 1, b.share, sparse);
           });
         });
  return loss;
}

}  // namespace attendo
