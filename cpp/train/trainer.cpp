// The training loop: for each batch  zero_grad · forward · loss · backward · clip · step.   Articles 000 §5.2, 002 §5.2.
#include "train/trainer.h"

#include <chrono>
#include <cstring>

#include "train/batches.h"

namespace attendo::train {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(50);

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Index check_samples(const char* call, const Tensors& inputs, const Tensor* target, Index batch_size) {
  if (inputs.empty()) value_error(call, ": inputs is empty");
  for (const Tensor& x : inputs) {
    check_defined(call, "inputs", x);
    check_min_rank(call, "inputs", x, 1, "(samples, ...)");
    if (x.dim(0) != inputs[0].dim(0)) {
      value_error(call, ": inputs have ", inputs[0].dim(0), " and ", x.dim(0), " samples; they must have as many");
    }
  }
  const Index samples = inputs[0].dim(0);
  if (target != nullptr) {
    check_min_rank(call, "target", *target, 1, "(samples, ...)");
    if (target->dim(0) != samples)
      value_error(call, ": target has ", target->dim(0), " samples but inputs have ", samples);
  }
  if (samples == 0) value_error(call, ": inputs have no samples");
  if (batch_size < 1) value_error(call, ": batch_size is ", batch_size, " but must be 1 or more");
  return samples;
}

Tensors take_batch(const Tensors& inputs, const std::vector<Index>& order, Index begin, Index end) {
  Tensors batch;
  for (const Tensor& x : inputs) batch.push_back(take_rows(x, order, begin, end));
  return batch;
}

}  // namespace

Trainer::Trainer(std::shared_ptr<nn::Module> model, std::shared_ptr<Loss> loss, std::shared_ptr<Optimizer> optimizer,
                 std::uint64_t seed, double clip_norm)
    : model_(std::move(model)),
      loss_(std::move(loss)),
      optimizer_(std::move(optimizer)),
      seed_(seed),
      clip_norm_(clip_norm) {
  if (!model_ || !loss_ || !optimizer_) type_error("Trainer: model, loss and optimizer must not be None");
  if (!(clip_norm >= 0)) value_error("Trainer: clip_norm is ", clip_norm, " but must be above 0, or None");
  std::vector<Tensor> parameters;
  for (const auto& [name, p] : model_->named_parameters()) parameters.push_back(p);
  optimizer_->attach(parameters);
}

History Trainer::fit(const Tensors& inputs, const Tensor& target, Index epochs, Index batch_size, bool shuffle,
                     const Callbacks& callbacks) {
  const Index samples = check_samples("fit", inputs, &target, batch_size);
  if (epochs < 1) value_error("fit: epochs is ", epochs, " but must be 1 or more");
  batch_size = std::min(batch_size, samples);  // and no sum below can overflow
  const Index batches = (samples + batch_size - 1) / batch_size;
  const nn::ModeGuard mode(*model_, true);
  History history;
  Progress progress;
  progress.epochs = epochs;
  progress.steps = epochs * batches;
  const auto start = Clock::now();
  auto last_poll = start;
  for (Index epoch = 0; epoch < epochs; ++epoch) {
    progress.epoch = epoch;
    const std::vector<Index> order = epoch_order(samples, shuffle, seed_, epochs_done_);
    double epoch_loss = 0, epoch_count = 0;
    for (Index begin = 0; begin < samples; begin += batch_size) {
      const Index end = std::min(samples, begin + batch_size);
      model_->seed_random(seed_, static_cast<std::uint64_t>(optimizer_->steps()) << 20);
      progress.lr = optimizer_->lr();
      optimizer_->zero_grad();
      const Tensors targets{take_rows(target, order, begin, end)};
      const Tensors outputs = model_->forward(take_batch(inputs, order, begin, end));
      if (outputs.empty()) value_error("fit: the model's forward returned nothing");
      const std::vector<double> counts = loss_->counts(targets, Tensor());
      const Tensor loss = loss_->part(outputs, targets, Tensor(), counts);
      backward(loss, Tensor());
      optimizer_->step(clip_norm_);

      progress.loss = loss.item();
      ++progress.step;
      history.step_loss.push_back(progress.loss);
      history.lr.push_back(progress.lr);
      epoch_loss += progress.loss * counts[0];
      epoch_count += counts[0];
      if (Clock::now() - last_poll >= kPollInterval) {
        progress.seconds = seconds_since(start);
        if (callbacks.poll) callbacks.poll();
        if (callbacks.on_step) callbacks.on_step(progress);
        last_poll = Clock::now();
      }
    }
    ++epochs_done_;
    history.loss.push_back(epoch_count > 0 ? epoch_loss / epoch_count : 0.0);
    progress.seconds = history.seconds = seconds_since(start);
    if (callbacks.poll) callbacks.poll();
    if (callbacks.on_step) callbacks.on_step(progress);
    if (callbacks.on_epoch_end) callbacks.on_epoch_end(progress, history);
  }
  history.seconds = seconds_since(start);
  return history;
}

Evaluation Trainer::evaluate(const Tensors& inputs, const Tensor& target, Index batch_size,
                             const std::function<void()>& poll) {
  const Index samples = check_samples("evaluate", inputs, &target, batch_size);
  batch_size = std::min(batch_size, samples);
  const nn::ModeGuard mode(*model_, false);
  const NoGrad no_grad;
  const std::vector<Index> order = epoch_order(samples, false, 0, 0);
  double loss = 0, count = 0, right = 0, answers = 0;
  for (Index begin = 0; begin < samples; begin += batch_size) {
    if (poll) poll();
    const Index end = std::min(samples, begin + batch_size);
    const Tensors targets{take_rows(target, order, begin, end)};
    const Tensors outputs = model_->forward(take_batch(inputs, order, begin, end));
    if (outputs.empty()) value_error("evaluate: the model's forward returned nothing");
    const std::vector<double> counts = loss_->counts(targets, Tensor());
    loss += loss_->part(outputs, targets, Tensor(), counts).item() * counts[0];
    count += counts[0];
    if (const auto hits = loss_->correct(outputs, targets)) {
      right += hits->first;
      answers += hits->second;
    }
  }
  Evaluation result;
  if (count > 0) result.loss = loss / count;
  if (answers > 0) result.accuracy = right / answers;
  return result;
}

Tensor Trainer::predict(const Tensors& inputs, Index batch_size, const std::function<void()>& poll) {
  const Index samples = check_samples("predict", inputs, nullptr, batch_size);
  batch_size = std::min(batch_size, samples);
  const nn::ModeGuard mode(*model_, false);
  const NoGrad no_grad;
  const std::vector<Index> order = epoch_order(samples, false, 0, 0);
  Tensor all;
  for (Index begin = 0; begin < samples; begin += batch_size) {
    if (poll) poll();
    const Index end = std::min(samples, begin + batch_size);
    const Tensors outputs = model_->forward(take_batch(inputs, order, begin, end));
    if (outputs.empty()) value_error("predict: the model's forward returned nothing");
    const Tensor& part = outputs[0];
    check_min_rank("predict", "the model's output", part, 1, "(samples, ...)");
    if (part.dim(0) != end - begin) {
      value_error("predict: the model gave ", part.dim(0), " rows for ", end - begin, " samples");
    }
    if (!all) {
      Shape shape = part.shape();
      shape[0] = samples;
      all = Tensor::empty(shape, part.dtype());
    }
    Shape expected = all.shape();
    expected[0] = end - begin;
    check_shape("predict", "the model's output", part, expected);
    std::memcpy(all.raw() + static_cast<size_t>(begin) * (all.bytes() / static_cast<size_t>(samples)), part.raw(),
                part.bytes());
  }
  return all;
}

}  // namespace attendo::train
