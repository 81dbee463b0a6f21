// Sequential recommendation: which item comes next (SASRec)
//
//   x_t = √d E[item_t] + P_t                                   y = the layers of x, attention causal
//   logits_t,i = y_t · E_i                                     or of given candidates only
//
// items: (B, L), 0 for padding.  x, y: (B, L, d).  E: (n + 1, d).  P: (max_len, d).  logits: (B, L, n + 1): position t predicts
// item t + 1. Padding, wherever it stands, is as if it were not there: t counts items, and its own logits are 0. Row 0 of E
// takes part in the logits alone.
// Cross-entropy over a candidate that follows and one that does not is BPR: -log σ(s⁺ - s⁻).
//                                           Kang and McAuley 2018, §III; Rendle et al. 2009 (BPR); article 004 §6.
#include "models/sequence_recommender.h"

#include <algorithm>
#include <cmath>

#include "models/token_ids.h"
#include "ops/arithmetic.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/matmul.h"
#include "ops/shape.h"

namespace attendo::models {

SequenceRecommender::SequenceRecommender(const SequenceRecommenderOptions& o) : o_(o) {
  const std::pair<const char*, Index> positive[] = {{"num_items", o.num_items},
                                                    {"d_model", o.d_model},
                                                    {"num_heads", o.num_heads},
                                                    {"max_len", o.max_len},
                                                    {"dff", o.dff}};
  for (const auto& [name, value] : positive) {
    if (value < 1 || value > kMaxElements) {
      value_error("SequenceRecommender: ", name, " is ", value, " but must be 1 to 2^46");
    }
  }
  if (o.d_model % o.num_heads != 0) {
    value_error("SequenceRecommender: d_model is ", o.d_model, " but must be a multiple of num_heads, which is ",
                o.num_heads);
  }
  // √d E is then of variance 1, and so are the first logits.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(o.d_model));
  embedding_ = std::make_shared<nn::Embedding>(o.num_items + 1, o.d_model, 0, o.dtype, deviation);
  position_ = std::make_shared<nn::LearnedPositionalEncoding>(o.d_model, o.max_len, o.dtype);
  dropout_ = std::make_shared<nn::Dropout>(o.dropout);
  encoder_ = std::make_shared<nn::Encoder>(
      o.num_layers, nn::LayerOptions{o.d_model, o.num_heads, o.dff, o.dropout, o.activation, o.norm_first, o.dtype});
  register_module("embedding", embedding_);
  register_module("position", position_);
  register_module("dropout", dropout_);
  register_module("encoder", encoder_);
}

// ids (B, n), items before padding -> y (B, n, d)
Tensor SequenceRecommender::encode(const Tensor& ids) {
  const Tensor x = scale((*embedding_)(ids), std::sqrt(static_cast<double>(o_.d_model)));
  AttentionOptions causal;
  causal.causal = true;
  return (*encoder_)((*dropout_)((*position_)(x, 0)), causal, false).out;
}

Tensor SequenceRecommender::operator()(const Tensor& items, const Tensor& candidates) {
  check_token_ids("SequenceRecommender", "items", items, o_.num_items + 1);
  if (candidates) {
    check_rank("SequenceRecommender", "candidates", candidates, 3, "(batch, length, candidates)");
    if (candidates.dim(0) != items.dim(0) || candidates.dim(1) != items.dim(1)) {
      value_error("SequenceRecommender: candidates has shape ", candidates.shape(), " but items has shape ",
                  items.shape(), "; batch and length must agree");
    }
    check_token_ids("SequenceRecommender", "candidates", candidates.view({items.size(), candidates.dim(2)}),
                    o_.num_items + 1);
  }
  const Tokens tokens = without_padding(items, 0);
  if (tokens.ids.dim(1) > o_.max_len) {
    value_error("SequenceRecommender: a row of items has ", tokens.ids.dim(1), " items but max_len is ", o_.max_len);
  }
  const Tensor y = tokens.put_back(encode(tokens.ids));
  if (!candidates) return linear(y, embedding_->weight(), Tensor());
  const Tensor s = matmul((*embedding_)(candidates), reshape(y, {items.dim(0), items.dim(1), o_.d_model, 1}));
  return reshape(s, candidates.shape());
}

std::pair<Tensor, Tensor> SequenceRecommender::recommend(const Tensor& items, Index k, bool exclude_seen) {
  check_token_ids("recommend", "items", items, o_.num_items + 1);
  if (k < 1 || k > o_.num_items) value_error("recommend: k is ", k, " but must be 1 to ", o_.num_items);
  const NoGrad no_grad;
  const Index batch = items.dim(0), length = items.dim(1), classes = o_.num_items + 1;
  const std::int64_t* item = items.data<std::int64_t>();
  const Tokens tokens = without_padding(items, 0);
  const auto* counts = tokens.lengths.data<std::int64_t>();
  const Index all = tokens.ids.dim(1), longest = std::min(all, o_.max_len);
  const Tensor last = Tensor::zeros({batch, longest}, DType::kInt64), ends = Tensor::zeros({batch}, DType::kInt64);
  for (Index b = 0; b < batch; ++b) {
    if (counts[b] == 0) value_error("recommend: row ", b, " of items has no item but must have 1 or more");
    const Index count = std::min<Index>(longest, counts[b]);
    std::copy_n(tokens.ids.data<std::int64_t>() + b * all + counts[b] - count, count,
                last.data<std::int64_t>() + b * longest);
    ends.data<std::int64_t>()[b] = b * longest + count - 1;
  }
  const Tensor ids = Tensor::empty({batch, k}, DType::kInt64), scores = Tensor::empty({batch, k}, o_.dtype);
  if (batch == 0) return {ids, scores};
  const Tensor y = gather_rows(reshape(encode(last), {batch * longest, o_.d_model}), ends);
  const Tensor logits = linear(y, embedding_->weight(), Tensor());  // (B, n + 1)
  dispatch_float("recommend", "logits", logits, [&](auto zero) {
    using T = decltype(zero);
    for (Index b = 0; b < batch; ++b) {
      const T* score = logits.data<T>() + b * classes;
      std::vector<bool> offered(static_cast<size_t>(classes), true);
      offered[0] = false;
      for (Index i = b * length; exclude_seen && i < (b + 1) * length; ++i)
        offered[static_cast<size_t>(item[i])] = false;
      std::vector<Index> best;
      for (Index i = 1; i < classes; ++i) {
        if (offered[static_cast<size_t>(i)]) best.push_back(i);
      }
      if (static_cast<Index>(best.size()) < k) {
        value_error("recommend: k is ", k, " but row ", b, " of items leaves only ", best.size(), " it does not hold");
      }
      auto better = [score](Index i, Index j) {  // NaN last, so that this is an order
        const bool i_nan = std::isnan(score[i]), j_nan = std::isnan(score[j]);
        if (i_nan != j_nan) return j_nan;
        return !i_nan && score[i] != score[j] ? score[i] > score[j] : i < j;
      };
      std::partial_sort(best.begin(), best.begin() + k, best.end(), better);
      for (Index i = 0; i < k; ++i) {
        ids.data<std::int64_t>()[b * k + i] = best[static_cast<size_t>(i)];
        scores.data<T>()[b * k + i] = score[best[static_cast<size_t>(i)]];
      }
    }
  });
  return {ids, scores};
}

Tensors SequenceRecommender::forward(const Tensors& inputs) {
  if (inputs.empty() || inputs.size() > 2) {
    value_error("SequenceRecommender: ", inputs.size(), " inputs were given but it takes items and perhaps candidates");
  }
  return {(*this)(inputs[0], inputs.size() > 1 ? inputs[1] : Tensor())};
}

}  // namespace attendo::models
