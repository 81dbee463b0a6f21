// Synchronous data-parallel training: the gradients of all processes become their sum, while backward still runs.
//
//   g = Σ_r g_r,   r = 0 … size-1,  in place in the optimizer's gradient buffers
//
// Process r computes its part of a step's batch. Losses are parts of the whole batch's mean (train/losses.h), so that sums
// are all there is to do. The buffers are cut into buckets of about `bucket_bytes`, whole parameters each; the sum of a
// bucket starts when backward has run the last function that adds to it.
//
// Messages of processes meet in the order they are sent in, so that order is fixed: buckets from the model's end to its
// beginning, whatever becomes ready first; a bucket waits for those before it. What backward does not reach is ready at
// once. Where the graphs of two processes differ, later buckets are sent later, and nothing else changes.
//
// Tables of sparse layers have gradients of rows: each process gives its rows to all others, and all add them in the order
// of the ranks. Of a table that has a whole gradient in one of the processes, all make a whole one.
//
// Li et al. 2020, PyTorch Distributed, §3.2.
#pragma once

#include <chrono>
#include <memory>
#include <unordered_map>

#include "core/leaf_observer.h"
#include "train/optimizers.h"

namespace attendo::train {

// How processes talk. Every process makes the same calls in the same order, with tensors of the same shapes.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Index rank() const = 0;
  virtual Index size() const = 0;
  // part becomes Σ_r part_r. It may still be under way on return: nobody touches part before wait() is back.
  virtual void start_sum(const Tensor& part) = 0;
  virtual void progress() = 0;  // a word to the library, where it moves data only when spoken to
  virtual void wait() = 0;      // until all sums started are there
  // x of every process, in the order of their ranks; axis 0 may differ in length.
  virtual Tensors gather(const Tensor& x) = 0;
  virtual void broadcast(const Tensor& x) = 0;  // x becomes rank 0's
};

class Reducer : private LeafObserver {
 public:
  Reducer(std::shared_ptr<Transport> transport, Index bucket_bytes);

  Index rank() const { return transport_->rank(); }
  Index size() const { return transport_->size(); }

  // Cuts the buckets. `parameters`: in the order in which forward uses them, as far as that is known.
  void attach(const std::shared_ptr<Optimizer>& optimizer, const std::vector<Tensor>& parameters);

  // While one lives, the next backward of this thread is the step's last: what it finishes is sent while it runs.
  class Last {
   public:
    explicit Last(Reducer* reducer);  // may be null
    ~Last();
    Last(const Last&) = delete;
    Last& operator=(const Last&) = delete;

   private:
    bool set_;
    LeafObserver* previous_ = nullptr;
  };

  // Sends what has not been sent; when it returns every gradient is the sum over the processes.
  void finish();

  // Part r of the positions [begin, end) of a step's batch: sizes differ by 1 at most, the first ranks have more.
  std::pair<Index, Index> share(Index begin, Index end) const;
  // A seed for what must differ from process to process (dropout); rank 0 has the seed itself.
  std::uint64_t own_seed(std::uint64_t seed) const;

  std::vector<double> sum(const std::vector<double>& values) const;
  void broadcast(const std::vector<Tensor>& tensors) const;

  size_t buckets() const { return buckets_.size(); }
  size_t sent_early() const { return sent_early_; }  // buckets of the last step that were sent before its finish()
  double seconds_waited() const { return seconds_waited_; }  // in finish(), all steps together

 private:
  using Clock = std::chrono::steady_clock;
  struct Bucket {
    Tensor part;
    Index first = 0;    // the least position of its parameters in the model
    Index waiting = 0;  // leaves that backward has still to finish
  };

  void expect(const std::vector<const TensorImpl*>& leaves) override;
  void done(const TensorImpl* leaf) override;
  void send_ready();
  void finish_tables();

  std::shared_ptr<Transport> transport_;
  Index bucket_bytes_;
  std::shared_ptr<Optimizer> optimizer_;
  std::vector<Bucket> buckets_;  // in the order they are sent in
  std::unordered_map<const TensorImpl*, size_t> of_leaf_;
  size_t next_ = 0;  // the bucket to be sent
  bool watched_ = false;
  size_t sent_early_ = 0;
  Clock::time_point last_word_{};
  double seconds_waited_ = 0;
};

}  // namespace attendo::train
