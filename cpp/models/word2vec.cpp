// Word vectors that tell a word's neighbours from words drawn at random
//
//   skip-gram   h = W[word];  the target is one of its neighbours
//   CBOW        h = mean of W[neighbours];  the target is the word between them
//   loss        -log σ(u_target · h) - Σ_k log σ(-u_k · h),   k drawn with P(k) ∝ count(k)^0.75     (B,)
//
// W, U: (V, d).  W begins uniform in ±1/(2d), U at zero, as in the authors' program.
// Mikolov et al. 2013, "Efficient estimation" and "Distributed representations".   Article 004 §3.2.
//
// A draw takes O(1): word i stands in cell i of a table with P · V of it, and what is missing to 1 is filled by one other
// word (alias method: Walker 1977, Vose 1991). The table is a buffer, (V, 2): the share of i, and the other word.
#include "models/word2vec.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "ops/negative_sampling.h"

namespace attendo::models {
namespace {

constexpr double kNoisePower = 0.75;

// table (V, 2) for probabilities in proportion to count^0.75.
void fill_alias_table(double* table, const double* counts, Index n) {
  std::vector<double> share(static_cast<size_t>(n));
  double total = 0;
  for (Index i = 0; i < n; ++i) {
    const double count = counts == nullptr ? 1 : counts[i];
    if (!(count >= 0 && std::isfinite(count))) {
      value_error("Word2Vec: counts holds ", count, " but must hold numbers of 0 or more");
    }
    total += share[static_cast<size_t>(i)] = std::pow(count, kNoisePower);
  }
  if (!(total > 0)) value_error("Word2Vec: counts are all zero: no word could be drawn");
  std::vector<Index> less, more;
  for (Index i = 0; i < n; ++i) {
    double& s = share[static_cast<size_t>(i)];
    s *= static_cast<double>(n) / total;
    (s < 1 ? less : more).push_back(i);
    table[2 * i] = 1;
    table[2 * i + 1] = static_cast<double>(i);
  }
  while (!less.empty() && !more.empty()) {
    const Index small = less.back(), large = more.back();
    less.pop_back();
    table[2 * small] = share[static_cast<size_t>(small)];
    table[2 * small + 1] = static_cast<double>(large);
    double& left = share[static_cast<size_t>(large)];
    left -= 1 - share[static_cast<size_t>(small)];
    if (left < 1) {
      more.pop_back();
      less.push_back(large);
    }
  }
  // Rounding leaves a few cells; they are full but for that. A word of count 0 is never among them: it needs another.
}

}  // namespace

Word2Vec::Word2Vec(const Word2VecOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {
      {"vocab_size", o.vocab_size}, {"embedding_dim", o.embedding_dim}, {"num_negatives", o.num_negatives}};
  for (const auto& [name, value] : positive) {
    if (value < 1) value_error("Word2Vec: ", name, " is ", value, " but must be 1 or more");
  }
  if (o.vocab_size > (Index{1} << 32)) value_error("Word2Vec: vocab_size is ", o.vocab_size, " but must be below 2^32");
  if (o.counts) check_shape("Word2Vec", "counts", o.counts, {o.vocab_size});
  make_parameter("input_vectors", {o.vocab_size, o.embedding_dim}, o.dtype).impl()->sparse_grad = o.sparse;
  make_parameter("output_vectors", {o.vocab_size, o.embedding_dim}, o.dtype).impl()->sparse_grad = o.sparse;
  const Tensor table = Tensor::empty({o.vocab_size, 2}, DType::kFloat64);
  fill_alias_table(table.data<double>(), o.counts ? o.counts.data<double>() : nullptr, o.vocab_size);
  register_buffer("noise", table);
  o_.counts = Tensor();
  reset_own(generator());
}

void Word2Vec::reset_own(Generator& generator) {
  const double bound = 0.5 / static_cast<double>(o_.embedding_dim);
  fill_uniform(input_vectors(), -bound, bound, generator);
  std::fill_n(output_vectors().raw(), output_vectors().bytes(), std::byte{0});
}

std::string Word2Vec::extra_repr() const {
  return concat(o_.vocab_size, ", ", o_.embedding_dim, ", mode=", o_.cbow ? "cbow" : "skip_gram",
                ", num_negatives=", o_.num_negatives, o_.sparse ? "" : ", sparse=False");
}

Tensor Word2Vec::draw_negatives(Index pairs) {
  constexpr Index kGrain = 4096;
  const Tensor out = Tensor::empty({pairs, o_.num_negatives}, DType::kInt64);
  const std::uint64_t stream = generator().next_stream(), vocabulary = static_cast<std::uint64_t>(o_.vocab_size);
  const double* table = noise().data<double>();
  std::int64_t* id = out.data<std::int64_t>();
  auto draw = [=](std::uint32_t cell_bits, std::uint32_t share_bits) {
    const std::uint64_t cell = (cell_bits * vocabulary) >> 32;
    const bool own = share_bits * 0x1.0p-32 < table[2 * cell];
    // What a file put into the table may be no id: -1 then, which the operation refuses.
    const double other = table[2 * cell + 1];
    const bool is_id = other >= 0 && other < static_cast<double>(vocabulary);
    return own ? static_cast<std::int64_t>(cell) : is_id ? static_cast<std::int64_t>(other) : -1;
  };
  parallel_ranges(out.size(), kGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; i += 2) {
      const auto bits = philox(stream, 0, static_cast<std::uint64_t>(i / 2));
      id[i] = draw(bits[0], bits[1]);
      if (i + 1 < end) id[i + 1] = draw(bits[2], bits[3]);
    }
  });
  return out;
}

Tensor Word2Vec::operator()(const Tensor& words, const Tensor& targets, const Tensor& negatives) {
  check_defined("Word2Vec", "words", words);
  if (o_.cbow) {
    check_rank("Word2Vec", "words", words, 2, "(batch, window)");
  } else {
    check_rank("Word2Vec", "words", words, 1, "(batch,)");
  }
  return negative_sampling(words, targets, negatives ? negatives : draw_negatives(words.dim(0)), input_vectors(),
                           output_vectors(), o_.sparse);
}

Tensors Word2Vec::forward(const Tensors& inputs) {
  if (inputs.size() != 2 && inputs.size() != 3) {
    value_error("Word2Vec: ", inputs.size(),
                " inputs were given but it takes words, targets and, if you like, negatives");
  }
  return {(*this)(inputs[0], inputs[1], inputs.size() == 3 ? inputs[2] : Tensor())};
}

std::pair<Tensor, Tensor> Word2Vec::most_similar(Index word, Index k) const {
  const Index n = o_.vocab_size, d = o_.embedding_dim;
  if (word < 0 || word >= n) value_error("most_similar: word_id is ", word, " but must be 0 to ", n - 1);
  if (k < 1 || k >= std::max<Index>(2, n)) {
    value_error("most_similar: k is ", k, " but must be 1 to ", std::max<Index>(1, n - 1), ", the other words");
  }
  std::vector<double> cosine(static_cast<size_t>(n));
  dispatch_float("most_similar", "vectors", input_vectors(), [&](auto zero) {
    using T = decltype(zero);
    const T* w = input_vectors().data<T>();
    parallel_ranges(n, rows_per_task(2 * d), [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        double dot = 0, square = 0, own = 0;
        for (Index c = 0; c < d; ++c) {
          const double a = static_cast<double>(w[word * d + c]), b = static_cast<double>(w[i * d + c]);
          dot += a * b, square += b * b, own += a * a;
        }
        const double norm = std::sqrt(own) * std::sqrt(square);
        cosine[static_cast<size_t>(i)] = norm > 0 ? dot / norm : 0;
      }
    });
  });
  std::vector<Index> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), Index{0});
  order.erase(order.begin() + word);
  k = std::min<Index>(k, n - 1);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](Index a, Index b) {
    const double x = cosine[static_cast<size_t>(a)], y = cosine[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  const Tensor ids = Tensor::empty({k}, DType::kInt64), values = Tensor::empty({k}, DType::kFloat64);
  for (Index i = 0; i < k; ++i) {
    ids.data<std::int64_t>()[i] = order[static_cast<size_t>(i)];
    values.data<double>()[i] = cosine[static_cast<size_t>(order[static_cast<size_t>(i)])];
  }
  return {ids, values};
}

}  // namespace attendo::models
