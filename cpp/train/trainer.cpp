// The training loop: for each step  zero_grad · (forward · loss · backward) for each batch of it · clip · update.
//
// A step of several batches (accumulate) minimizes the mean over all that counts in all of them, as one big batch would.
// Articles 000 §5.2, 002 §5.2.
#include "train/trainer.h"

#include <chrono>
#include <cmath>
#include <numeric>

namespace attendo::train {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(50);

}  // namespace

// Splits the time that passes among the parts.
class Trainer::Clock {
 public:
  explicit Clock(History& history) : history_(history), before_(history.seconds), start_(SteadyClock::now()) {
    last_ = last_poll_ = start_;
  }
  void end(Part part) {
    const auto now = SteadyClock::now();
    history_.seconds_of[static_cast<size_t>(part)] += std::chrono::duration<double>(now - last_).count();
    history_.seconds = before_ + std::chrono::duration<double>(now - start_).count();
    last_ = now;
  }
  bool is_poll_due() {
    if (last_ - last_poll_ < kPollInterval) return false;
    last_poll_ = last_;
    return true;
  }

 private:
  History& history_;
  double before_;
  SteadyClock::time_point start_, last_, last_poll_;
};

// Lets batch_loss see the clock while fit runs.
struct Trainer::ClockGuard {
  ClockGuard(Trainer& trainer, Clock& clock) : trainer_(trainer) { trainer_.clock_ = &clock; }
  ~ClockGuard() { trainer_.clock_ = nullptr; }
  ClockGuard(const ClockGuard&) = delete;
  ClockGuard& operator=(const ClockGuard&) = delete;

 private:
  Trainer& trainer_;
};

Tensor Objective::loss(Trainer& trainer, const Batch& batch) { return trainer.batch_loss(batch, batch.inputs); }

Trainer::Trainer(std::shared_ptr<nn::Module> model, std::shared_ptr<Loss> loss, std::shared_ptr<Optimizer> optimizer,
                 const TrainerOptions& options)
    : model_(std::move(model)), loss_(std::move(loss)), optimizer_(std::move(optimizer)), options_(options) {
  if (!model_ || !loss_ || !optimizer_) type_error("Trainer: model, loss and optimizer must not be None");
  auto check_clip = [](const char* name, double value) {
    if (!(value >= 0)) value_error("Trainer: ", name, " is ", value, " but must be above 0, or None");
  };
  check_clip("clip_norm", options.clip_norm);
  check_clip("clip_value", options.clip_value);
  if (options.accumulate < 1) value_error("Trainer: accumulate is ", options.accumulate, " but must be 1 or more");
  auto parameters = model_->named_parameters();
  for (const auto& [name, p] : loss_->parameters()) parameters.emplace_back("loss." + name, p);
  optimizer_->attach(parameters);
  if (options.average) average_ = std::make_shared<WeightAverage>(optimizer_, options.average, true);
}

void Trainer::begin() {
  if (!restored_) {
    state_ = FitState();
    state_.first_epoch = epochs_done_;
  }
  restored_ = false;
}

void Trainer::restore(const FitState& state) {
  state_ = state;
  epochs_done_ = state.first_epoch + state.epoch;
  restored_ = true;
}

Tensor Trainer::output_loss(const Batch& batch, const Tensors& outputs) {
  if (outputs.empty()) value_error("fit: the model's forward returned nothing");
  return loss_->part(outputs, batch.targets, batch.sample_weight, batch.totals);
}

Tensor Trainer::batch_loss(const Batch& batch, const Tensors& inputs) {
  const Tensors outputs = model_->forward(inputs);
  if (clock_ != nullptr) clock_->end(Part::kForward);
  return output_loss(batch, outputs);
}

// One update; gives the loss.
double Trainer::step(std::vector<Batch>& batches, Objective& objective, Clock& clock) {
  optimizer_->zero_grad();
  const auto steps = static_cast<std::uint64_t>(optimizer_->steps());
  double loss = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    Batch& batch = batches[i];
    // What dropout drops: other numbers for each step, and for each batch of a step.
    model_->seed_random(i == 0 ? options_.seed : mix_seed(options_.seed, i), steps << 20);
    const Tensor part = objective.loss(*this, batch);
    clock.end(Part::kLoss);
    const double value = part.item();
    if (!std::isfinite(value)) {
      value_error(
          "fit: the loss is ", value, " at step ", optimizer_->steps() + 1,
          "; the parameters are as the step before left them (lower lr, clip_norm= or a look at the data help)");
    }
    loss += value;
    backward(part, Tensor());
    objective.after_backward(*this, batch);
    clock.end(Part::kBackward);
  }
  optimizer_->step(options_.clip_norm, options_.clip_value);
  if (average_) average_->update();
  clock.end(Part::kOptimizer);
  return loss;
}

const History& Trainer::fit(BatchSource& source, Index epochs, Objective& objective,
                            const std::function<void(Batch&)>& transform, const Callbacks& callbacks) {
  if (epochs < 1) value_error("fit: epochs is ", epochs, " but must be 1 or more");
  History& history = state_.history;
  const nn::ModeGuard mode(*model_, true);
  const Index repeats = objective.repeats();
  if (repeats < 1) value_error("fit: the objective's repeats is ", repeats, " but must be 1 or more");
  Progress progress;
  progress.epochs = epochs;
  const Index batches = source.batches();
  progress.steps = batches < 0 ? -1 : epochs * ((batches + options_.accumulate - 1) / options_.accumulate) * repeats;
  Clock clock(history);
  const ClockGuard guard(*this, clock);
  auto tell = [&](const std::function<void(const Progress&)>& listener) {
    progress.step = static_cast<std::int64_t>(history.step_loss.size());
    progress.seconds = history.seconds;
    if (listener) listener(progress);
  };
  std::vector<Batch> group;
  while (state_.epoch < epochs && !state_.stopped) {
    progress.epoch = state_.epoch;
    source.start(state_.first_epoch + state_.epoch, state_.batches);
    while (!state_.stopped) {
      group.clear();
      std::vector<double> totals;
      for (Index i = 0; i < options_.accumulate; ++i) {
        Batch batch;
        if (!source.next(batch)) break;
        batch.epoch = state_.epoch;
        batch.step = optimizer_->steps();
        batch.seed =
            mix_seed(mix_seed(options_.seed, static_cast<std::uint64_t>(batch.step)), static_cast<std::uint64_t>(i));
        if (transform) transform(batch);
        const std::vector<double> counts = loss_->counts(batch.targets, batch.sample_weight);
        totals.resize(counts.size());
        for (size_t k = 0; k < counts.size(); ++k) totals[k] += counts[k];
        group.push_back(std::move(batch));
      }
      if (group.empty()) break;
      clock.end(Part::kData);
      for (Index repeat = 0; repeat < repeats; ++repeat) {
        for (Batch& batch : group) {
          batch.totals = totals;
          batch.repeat = repeat;
          batch.step = optimizer_->steps();
        }
        progress.lr = optimizer_->lr();
        progress.loss = step(group, objective, clock);
        history.step_loss.push_back(progress.loss);
        history.lr.push_back(progress.lr);
        const double count = std::accumulate(totals.begin(), totals.end(), 0.0);
        state_.epoch_loss += progress.loss * count;
        state_.epoch_count += count;
      }
      state_.batches += static_cast<Index>(group.size());
      if (callbacks.on_batch_end) tell(callbacks.on_batch_end);
      if (clock.is_poll_due()) {
        if (callbacks.poll) callbacks.poll();
        tell(callbacks.on_step);
      }
      clock.end(Part::kCallbacks);
    }
    if (state_.stopped) break;
    if (state_.batches == 0) value_error("fit: inputs gave no batch in epoch ", state_.epoch + 1);
    history.loss.push_back(state_.epoch_count > 0 ? state_.epoch_loss / state_.epoch_count : 0.0);
    epochs_done_ = state_.first_epoch + ++state_.epoch;
    state_.batches = 0;
    state_.epoch_loss = state_.epoch_count = 0;
    if (callbacks.poll) callbacks.poll();
    tell(callbacks.on_step);
    tell(callbacks.on_epoch_end);
    clock.end(Part::kCallbacks);
  }
  return history;
}

}  // namespace attendo::train
