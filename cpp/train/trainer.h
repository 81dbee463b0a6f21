#pragma once

#include <array>
#include <mutex>
#include <optional>

#include "nn/module.h"
#include "train/batches.h"
#include "train/losses.h"
#include "train/optimizers.h"
#include "train/weight_average.h"

namespace attendo::train {

class Reducer;
class Trainer;

struct Progress {
  std::int64_t step = 0, steps = 0;  // of this fit; steps is below 0 where only the end tells
  Index epoch = 0, epochs = 0;
  double loss = 0, lr = 0, seconds = 0;
};

// Where the time of a fit went.
enum class Part { kData, kForward, kLoss, kBackward, kOptimizer, kCallbacks };
inline constexpr std::array<const char*, 6> kPartNames{"data", "forward", "loss", "backward", "optimizer", "callbacks"};

struct History {
  std::vector<double> step_loss, lr;  // an optimizer step each
  std::vector<double> loss;           // an epoch each, the mean over what counts
  std::array<double, kPartNames.size()> seconds_of{};
  double seconds = 0;
};

// What a fit that stops here must know to go on: together with the model, the optimizer and the seed.
struct FitState {
  History history;
  Index first_epoch = 0;  // epochs of the fits before
  Index epoch = 0;        // of this fit, from 0
  Index batches = 0;      // of this epoch, used up
  double epoch_loss = 0, epoch_count = 0;
  bool stopped = false;  // by stop()
};

struct Evaluation {
  double loss = 0;
  double accuracy = -1;  // below 0 where it is not defined
  Tensors outputs;       // for every sample, where asked for
};

// What is minimized, where it is more than the loss of the model's outputs.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual Index repeats() const { return 1; }  // optimizer steps on each batch
  virtual Tensor loss(Trainer& trainer, const Batch& batch);
  virtual void after_backward(Trainer&, const Batch&) {}
  virtual bool has_after_backward() const { return false; }
};

// Called between batches, on the thread that called fit. They may throw.
struct Callbacks {
  std::function<void(const Progress&)> on_batch_end;  // after every batch
  std::function<void(const Progress&)> on_step;       // about every 50 ms, and at the end of each epoch
  std::function<void(const Progress&)> on_epoch_end;
  std::function<void()> poll;  // Ctrl-C
};

struct TrainerOptions {
  std::uint64_t seed = 0;
  double clip_norm = 0, clip_value = 0;  // 0: none
  Index accumulate = 1;                  // batches an optimizer step
  std::optional<double> average;         // decay of the exponential average of the weights
};

class Trainer {
 public:
  Trainer(std::shared_ptr<nn::Module> model, std::shared_ptr<Loss> loss, std::shared_ptr<Optimizer> optimizer,
          const TrainerOptions& options);

  // From here on this process computes its share of each step (train/reducer.h).
  void distribute(std::shared_ptr<Reducer> reducer) { reducer_ = std::move(reducer); }
  // Before each fit: every process gets what rank 0 has, parameters, buffers and the optimizer's state.
  void synchronize();

  // Before each fit: a new state, or the one that was restored.
  void begin();
  // Goes on from state(). `transform` may change a batch before it is used.
  const History& fit(BatchSource& batches, Index epochs, Objective& objective,
                     const std::function<void(Batch&)>& transform, const Callbacks& callbacks);
  void stop();  // after this batch; of several processes one is enough

  // A copy: another thread may ask while fit runs.
  FitState state() const;
  // False while a step is being made: parameters, buffers and state may be between two of them.
  bool settled() const { return settled_; }
  void restore(const FitState& state);

  // The loss of these outputs, or of the model on these inputs: this batch's part of it.
  Tensor batch_loss(const Batch& batch, const Tensors& inputs);
  Tensor output_loss(const Batch& batch, const Tensors& outputs);

  Evaluation evaluate(const Columns& inputs, const Columns& targets, const Tensor& sample_weight, Index batch_size,
                      bool keep_outputs, const std::function<void()>& poll);
  // The model's outputs for each sample, in evaluation mode: the first, or all.
  Tensors predict(const Columns& inputs, Index batch_size, bool all_outputs, const std::function<void()>& poll);

  const std::shared_ptr<nn::Module>& model() const { return model_; }
  const std::shared_ptr<Optimizer>& optimizer() const { return optimizer_; }
  const std::shared_ptr<Loss>& loss() const { return loss_; }
  const std::shared_ptr<WeightAverage>& average() const { return average_; }  // null without one
  const TrainerOptions& options() const { return options_; }
  const std::shared_ptr<Reducer>& reducer() const { return reducer_; }

 private:
  class Clock;
  struct ClockGuard;
  std::vector<std::pair<std::string, Tensor>> parameters() const;  // of the model and the loss
  void end_epoch(const std::function<void()>& tell);
  double step(std::vector<Batch>& batches, Objective& objective, Clock& clock);
  void part_step(Batch& batch, bool is_last, Objective& objective, Clock& clock, double& loss);
  bool agree(bool has_batch);
  void share_buffers();

  std::shared_ptr<nn::Module> model_;
  std::shared_ptr<Loss> loss_;
  std::shared_ptr<Optimizer> optimizer_;
  std::shared_ptr<WeightAverage> average_;
  TrainerOptions options_;
  std::shared_ptr<Reducer> reducer_;  // null: one process
  bool stop_wanted_ = false;          // here; the others hear of it before the next step
  Tensors buffers_before_;            // until the first step of a fit has shown which of them change
  std::optional<Tensors> buffers_that_change_;
  FitState state_;
  mutable std::mutex state_mutex_;  // of the history: fit writes it, others may read it
  bool settled_ = true;
  Clock* clock_ = nullptr;  // while fit runs
  bool restored_ = false;
  Index epochs_done_ = 0;
};

// What the samples given to a call of the Trainer must be; gives their number.
Index check_columns(const char* call, const Columns& inputs, const Columns* targets, const Tensor& sample_weight,
                    Index batch_size);

}  // namespace attendo::train
