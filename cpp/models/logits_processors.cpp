// What changes the scores of the next token before one is chosen
//
//   repetition penalty r   s_j ← s_j / r where s_j ≥ 0, s_j r where s_j < 0          for tokens j that came before
//   no repeated n-grams    s_j ← -∞ where (last n - 1 tokens, j) came before
//   bad words (w, j)       s_j ← -∞ where the last tokens are w
//   min_new_tokens         s_eos ← -∞ before so many
//   forced bos, eos        all others -∞, for the first or the last new token
//   suppress               s_j ← -∞
//   temperature t          s ← s / t
//   top-k                  those below the k-th largest ← -∞
//   top-p                  those whose likelier ones have p or more together ← -∞
//   min-p                  those with less than p times the largest probability ← -∞
//
// s: (V,), logits or log-probabilities, processed in this order.   Keskar et al. 2019, §4.1; Fan et al. 2018, §5.4;
// Holtzman et al. 2020, §3.1; Nguyen et al. 2025, §3; Paulus et al. 2018, §2.5 (n-grams).
#include "models/logits_processors.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attendo::models {
namespace {

constexpr double kForbidden = -std::numeric_limits<double>::infinity();

void penalize_repetition(double penalty, const Ids& ids, double* scores, Index vocabulary) {
  Ids seen = ids;
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (const std::int64_t id : seen) {
    if (id < 0 || id >= vocabulary) continue;
    scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
  }
}

void forbid_repeated(Index n, const Ids& ids, double* scores, Index vocabulary) {
  const auto length = static_cast<Index>(ids.size());
  if (length < n) return;
  const auto last = ids.end() - (n - 1);
  for (auto at = ids.begin(); at + n <= ids.end(); ++at) {
    const std::int64_t next = at[n - 1];
    if (next < vocabulary && std::equal(at, at + (n - 1), last)) scores[next] = kForbidden;
  }
}

void forbid_words(const std::vector<Ids>& words, const Ids& eos_ids, const Ids& ids, double* scores) {
  for (const Ids& word : words) {
    const size_t before = word.size() - 1;
    const bool is_eos = before == 0 && std::find(eos_ids.begin(), eos_ids.end(), word[0]) != eos_ids.end();
    if (is_eos || before > ids.size()) continue;
    if (std::equal(word.begin(), word.end() - 1, ids.end() - static_cast<Index>(before))) {
      scores[word.back()] = kForbidden;
    }
  }
}

void force(Index id, double* scores, Index vocabulary) {
  std::fill_n(scores, vocabulary, kForbidden);
  scores[id] = 0;
}

// Everything below the k-th largest; those equal to it stay.
void keep_top_k(Index k, double* scores, Index vocabulary) {
  if (k >= vocabulary) return;
  std::vector<double> sorted(scores, scores + vocabulary);
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double least = sorted[static_cast<size_t>(k - 1)];
  for (Index j = 0; j < vocabulary; ++j) {
    if (scores[j] < least) scores[j] = kForbidden;
  }
}

// The likeliest until they have p together, at least one; of equal ones those that come first.
void keep_top_p(double p, double* scores, Index vocabulary) {
  std::vector<std::pair<double, Index>> heap;  // (score, -id)
  for (Index j = 0; j < vocabulary; ++j) {
    if (scores[j] != kForbidden) heap.emplace_back(scores[j], -j);
  }
  std::make_heap(heap.begin(), heap.end());
  const double most = heap.front().first;
  double all = 0;
  for (const auto& [score, id] : heap) all += std::exp(score - most);
  std::vector<std::pair<double, Index>> kept;
  for (double above = 0; !heap.empty() && (kept.empty() || above < p * all);) {
    std::pop_heap(heap.begin(), heap.end());
    kept.push_back(heap.back());
    heap.pop_back();
    above += std::exp(kept.back().first - most);
  }
  std::fill_n(scores, vocabulary, kForbidden);
  for (const auto& [score, id] : kept) scores[-id] = score;
}

void keep_min_p(double p, double* scores, Index vocabulary) {
  const double most = *std::max_element(scores, scores + vocabulary);
  for (Index j = 0; j < vocabulary; ++j) {
    if (std::exp(scores[j] - most) < p) scores[j] = kForbidden;
  }
}

}  // namespace

void process_logits(const DecodeOptions& o, const Ids& ids, Index prompt_length, double* scores, Index vocabulary) {
  const Index made = static_cast<Index>(ids.size()) - prompt_length;
  if (o.repetition_penalty != 1) penalize_repetition(o.repetition_penalty, ids, scores, vocabulary);
  if (o.no_repeat_ngram_size > 0) forbid_repeated(o.no_repeat_ngram_size, ids, scores, vocabulary);
  forbid_words(o.bad_words, o.eos_ids, ids, scores);
  if (made < o.min_new_tokens) {
    for (const std::int64_t id : o.eos_ids) scores[id] = kForbidden;
  }
  if (o.forced_bos_id && made == 0) force(*o.forced_bos_id, scores, vocabulary);
  if (o.forced_eos_id && made == o.max_new_tokens - 1) force(*o.forced_eos_id, scores, vocabulary);
  for (const std::int64_t id : o.suppress) scores[id] = kForbidden;
}

void filter_logits(const DecodeOptions& o, double* scores, Index vocabulary) {
  if (o.temperature != 1) {
    // Of differences: a temperature near 0 would make several scores infinite.
    const double most = *std::max_element(scores, scores + vocabulary);
    for (Index j = 0; j < vocabulary; ++j) scores[j] = scores[j] == most ? 0 : (scores[j] - most) / o.temperature;
  }
  if (o.top_k > 0) keep_top_k(o.top_k, scores, vocabulary);
  if (o.top_p < 1) keep_top_p(o.top_p, scores, vocabulary);
  if (o.min_p > 0) keep_min_p(o.min_p, scores, vocabulary);
}

void log_softmax_row(double* scores, Index vocabulary) {
  const double most = *std::max_element(scores, scores + vocabulary);
  double all = 0;
  for (Index j = 0; j < vocabulary; ++j) all += std::exp(scores[j] - most);
  const double lse = most + std::log(all);
  for (Index j = 0; j < vocabulary; ++j) scores[j] -= lse;
}

Index draw(const double* scores, Index vocabulary, double uniform) {
  const double most = *std::max_element(scores, scores + vocabulary);
  double all = 0;
  for (Index j = 0; j < vocabulary; ++j) all += std::exp(scores[j] - most);
  double below = 0;
  Index last = 0;
  for (Index j = 0; j < vocabulary; ++j) {
    const double share = std::exp(scores[j] - most);
    if (share == 0) continue;
    below += share, last = j;
    if (uniform * all < below) break;
  }
  return last;
}

double uniform(std::uint64_t seed, Index sample, Index step) {
  const auto bits = philox(mix_seed(seed, static_cast<std::uint64_t>(sample)), 0, static_cast<std::uint64_t>(step));
  const std::uint64_t wide = ((static_cast<std::uint64_t>(bits[0]) << 32) | bits[1]) >> 11;
  return (static_cast<double>(wide) + 0.5) * 0x1.0p-53;
}

void read_logits(const DecodeOptions& o, const Tensor& logits, Index state_row, Index row, double* scores) {
  const Index vocabulary = logits.dim(1);
  dispatch_float(o.op, "logits", logits, [&](auto zero) {
    using T = decltype(zero);
    const T* from = logits.data<T>() + state_row * vocabulary;
    for (Index j = 0; j < vocabulary; ++j) scores[j] = static_cast<double>(from[j]);
  });
  for (Index j = 0; j < vocabulary; ++j) {
    if (scores[j] < std::numeric_limits<double>::infinity()) continue;
    value_error(o.op, ": the logits of row ", row, " hold ", scores[j], " for token ", j,
                " but must be numbers, or -inf for what is forbidden");
  }
}

void check_possible(const DecodeOptions& o, Index row, const double* scores, Index vocabulary) {
  for (Index j = 0; j < vocabulary; ++j) {
    if (!(scores[j] <= std::numeric_limits<double>::max())) {
      value_error(o.op, ": the score of token ", j, " of row ", row, " is ", scores[j], " after repetition_penalty, ",
                  o.repetition_penalty);
    }
  }
  if (*std::max_element(scores, scores + vocabulary) != kForbidden) return;
  value_error(o.op, ": every token of row ", row, " is forbidden: its logits are -inf, or made so by ",
              "the options that forbid tokens");
}

}  // namespace attendo::models
