// The batches of an epoch. Their order is a function of (seed, epoch) alone, so that a run can go on where it stopped.
#pragma once

#include <utility>

#include "core/random.h"
#include "train/samples.h"

namespace attendo::train {

// What one forward pass gets.
struct Batch {
  Tensors inputs, targets;
  Tensor sample_weight;        // (samples,), or undefined
  std::vector<double> totals;  // counts of the optimizer step it is part of (losses.h)
  std::uint64_t seed = 0;      // of what is random about it
  Index epoch = 0, step = 0, repeat = 0;

  Index size() const { return inputs[0].dim(0); }
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Of every epoch; below 0 where only the end tells.
  virtual Index batches() const = 0;
  // Begins an epoch, `skip` batches in.
  virtual void start(Index epoch, Index skip) = 0;
  // False when the epoch is over.
  virtual bool next(Batch& batch) = 0;
};

// What decides which samples come together.
struct BatchPlan {
  Index batch_size = 32;
  bool shuffle = true;
  std::uint64_t seed = 0;
  std::vector<Index> lengths;  // not empty: samples of near lengths come together
  Index batch_tokens = 0;      // above 0, with lengths: (samples · longest) of a batch at most, in place of batch_size
  Index rank = 0, ranks = 1;   // of the processes that share each batch
};

// Samples in memory.
class SampleBatches : public BatchSource {
 public:
  SampleBatches(Columns inputs, Columns targets, Tensor sample_weight, BatchPlan plan);
  Index batches() const override { return static_cast<Index>(ranges_.size()); }
  void start(Index epoch, Index skip) override;
  bool next(Batch& batch) override;

 private:
  Columns inputs_, targets_;
  Tensor sample_weight_;
  BatchPlan plan_;
  Index samples_;
  std::vector<Index> order_;
  std::vector<std::pair<Index, Index>> ranges_;  // of order_, a batch each
  size_t position_ = 0;
};

// The order of the samples in one epoch.
std::vector<Index> epoch_order(Index samples, bool shuffle, std::uint64_t seed, Index epoch);

}  // namespace attendo::train
