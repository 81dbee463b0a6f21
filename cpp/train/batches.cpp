#include "train/batches.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace attendo::train {
namespace {

using Ranges = std::vector<std::pair<Index, Index>>;

Ranges even_ranges(Index samples, Index batch_size) {
  Ranges ranges;
  for (Index begin = 0; begin < samples; begin += batch_size) {
    ranges.emplace_back(begin, begin + std::min(batch_size, samples - begin));
  }
  return ranges;
}

// `order` is sorted by length already. `tokens` is what each of `ranks` processes may have.
Ranges ranges_of_tokens(const std::vector<Index>& order, const std::vector<Index>& lengths, Index tokens, Index ranks) {
  Ranges ranges;
  Index begin = 0;
  const Index samples = static_cast<Index>(order.size());
  for (Index i = 0; i < samples; ++i) {
    const Index longest = std::max<Index>(1, lengths[static_cast<size_t>(order[static_cast<size_t>(i)])]);
    if (i > begin && (i - begin) / ranks >= tokens / longest) {
      ranges.emplace_back(begin, i);
      begin = i;
    }
  }
  ranges.emplace_back(begin, samples);
  return ranges;
}

}  // namespace

std::vector<Index> epoch_order(Index samples, bool shuffle, std::uint64_t seed, Index epoch) {
  if (shuffle) {
    Generator generator(mix_seed(seed, static_cast<std::uint64_t>(epoch)));
    return permutation(samples, generator);
  }
  std::vector<Index> order(static_cast<size_t>(samples));
  std::iota(order.begin(), order.end(), Index{0});
  return order;
}

SampleBatches::SampleBatches(Columns inputs, Columns targets, Tensor sample_weight, BatchPlan plan)
    : inputs_(std::move(inputs)),
      targets_(std::move(targets)),
      sample_weight_(std::move(sample_weight)),
      plan_(std::move(plan)),
      samples_(inputs_[0].size()) {
  const Index most = std::max<Index>(1, samples_ / plan_.ranks);
  plan_.batch_size = std::min(plan_.batch_size, samples_ % plan_.ranks == 0 ? most : most + 1);  // nothing overflows
  start(0, 0);
}

void SampleBatches::start(Index epoch, Index skip) {
  order_ = epoch_order(samples_, plan_.shuffle, plan_.seed, epoch);
  const std::vector<Index>& lengths = plan_.lengths;
  if (!lengths.empty()) {
    std::stable_sort(order_.begin(), order_.end(), [&lengths](Index a, Index b) {
      return lengths[static_cast<size_t>(a)] < lengths[static_cast<size_t>(b)];
    });
  }
  ranges_ = plan_.batch_tokens > 0 ? ranges_of_tokens(order_, lengths, plan_.batch_tokens, plan_.ranks)
                                   : even_ranges(samples_, plan_.batch_size * plan_.ranks);
  if (!lengths.empty() && plan_.shuffle) {
    Generator generator(mix_seed(mix_seed(plan_.seed, static_cast<std::uint64_t>(epoch)), 1));
    const Ranges ordered = ranges_;
    const std::vector<Index> shuffled = permutation(static_cast<Index>(ordered.size()), generator);
    for (size_t i = 0; i < ordered.size(); ++i) ranges_[i] = ordered[static_cast<size_t>(shuffled[i])];
  }
  position_ = std::min(static_cast<size_t>(skip), ranges_.size());
}

bool SampleBatches::next(Batch& batch) {
  if (position_ == ranges_.size()) return false;
  auto [begin, end] = ranges_[position_++];
  const Index share = (end - begin) / plan_.ranks, extra = (end - begin) % plan_.ranks;
  begin += plan_.rank * share + std::min(plan_.rank, extra);
  end = begin + share + (plan_.rank < extra ? 1 : 0);
  batch.inputs.clear();
  batch.targets.clear();
  for (const Samples& x : inputs_) batch.inputs.push_back(x.take(order_, begin, end));
  for (const Samples& y : targets_) batch.targets.push_back(y.take(order_, begin, end));
  batch.sample_weight = sample_weight_ ? Samples{sample_weight_, {}, 0}.take(order_, begin, end) : Tensor();
  return true;
}

}  // namespace attendo::train
