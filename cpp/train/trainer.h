#pragma once

#include "train/losses.h"
#include "train/optimizers.h"

namespace attendo::train {

struct Progress {
  std::int64_t step = 0, steps = 0;  // of this call to fit
  Index epoch = 0, epochs = 0;
  double loss = 0, lr = 0, seconds = 0;
};

struct History {
  std::vector<double> step_loss, lr;  // a step each
  std::vector<double> loss;           // an epoch each, the mean over its predictions
  double seconds = 0;
};

struct Evaluation {
  double loss = 0;
  double accuracy = -1;  // below 0 where it is not defined
};

// Called between batches, on the thread that called fit, about every 50 ms and at the end of each epoch. They may throw.
struct Callbacks {
  std::function<void(const Progress&)> on_step;
  std::function<void(const Progress&, const History&)> on_epoch_end;
  std::function<void()> poll;  // Ctrl-C
};

class Trainer {
 public:
  Trainer(std::shared_ptr<nn::Module> model, std::shared_ptr<Loss> loss, std::shared_ptr<Optimizer> optimizer,
          std::uint64_t seed, double clip_norm);

  // Every tensor's axis 0 is the samples. The last batch of an epoch may be short.
  History fit(const Tensors& inputs, const Tensor& target, Index epochs, Index batch_size, bool shuffle,
              const Callbacks& callbacks);
  Evaluation evaluate(const Tensors& inputs, const Tensor& target, Index batch_size, const std::function<void()>& poll);
  // The model's first output for each sample, in evaluation mode.
  Tensor predict(const Tensors& inputs, Index batch_size, const std::function<void()>& poll);

  const std::shared_ptr<nn::Module>& model() const { return model_; }
  const std::shared_ptr<Optimizer>& optimizer() const { return optimizer_; }
  const std::shared_ptr<Loss>& loss() const { return loss_; }

 private:
  std::shared_ptr<nn::Module> model_;
  std::shared_ptr<Loss> loss_;
  std::shared_ptr<Optimizer> optimizer_;
  std::uint64_t seed_;
  double clip_norm_;
  Index epochs_done_ = 0;
};

}  // namespace attendo::train
