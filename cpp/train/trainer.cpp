// The training loop: for each step  zero_grad · (forward · loss · backward) for each batch of it · clip · update.
//
// A step of several batches (accumulate) minimizes the mean over all that counts in all of them, as one big batch would.
// Articles 000 §5.2, 002 §5.2.
#include "train/trainer.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>

#include "train/reducer.h"

namespace attendo::train {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(50);

}  // namespace

// Splits the time that passes among the parts.
class Trainer::Clock {
 public:
  Clock(History& history, std::mutex& mutex)
      : history_(history), mutex_(mutex), before_(history.seconds), start_(SteadyClock::now()) {
    last_ = last_poll_ = start_;
  }
  void end(Part part) {
    const auto now = SteadyClock::now();
    const std::lock_guard lock(mutex_);
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
  std::mutex& mutex_;
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
  optimizer_->attach(parameters());
  if (options.average) average_ = std::make_shared<WeightAverage>(optimizer_, options.average, true);
}

void Trainer::synchronize() {
  if (!reducer_) return;
  std::vector<Tensor> all;
  for (const auto& [name, x] : model_->named_parameters()) all.push_back(x);
  for (const auto& [name, x] : loss_->parameters()) all.push_back(x);
  reducer_->attach(optimizer_, all);  // now: another trainer may have used it in between
  for (const auto& [name, x] : model_->named_buffers()) all.push_back(x);
  for (const auto& [name, x] : optimizer_->state()) all.push_back(x);
  if (average_) {
    for (const auto& [name, x] : average_->state()) all.push_back(x);
  }
  reducer_->broadcast(all);
  buffers_before_.clear();
  for (const auto& [name, x] : model_->named_buffers()) buffers_before_.push_back(x.clone());
  buffers_that_change_.reset();
}

// Statistics of batches (running means) are rank 0's after each step, so that every process evaluates one model.
void Trainer::share_buffers() {
  const auto buffers = model_->named_buffers();
  if (buffers.empty()) return;
  if (!buffers_that_change_) {
    std::vector<double> changed;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const Tensor &now = buffers[i].second, &before = buffers_before_.at(i);
      changed.push_back(std::memcmp(now.raw(), before.raw(), now.bytes()) != 0);
    }
    changed = reducer_->sum(changed);
    buffers_that_change_.emplace();
    for (size_t i = 0; i < buffers.size(); ++i) {
      if (changed[i] > 0) buffers_that_change_->push_back(buffers[i].second);
    }
    buffers_before_.clear();
  }
  reducer_->broadcast(*buffers_that_change_);
}

void Trainer::stop() {
  if (reducer_) {
    stop_wanted_ = true;
  } else {
    state_.stopped = true;
  }
}

// Whether there is a step to make: all processes have a batch for it, and none wants to stop.
bool Trainer::agree(bool has_batch) {
  if (!reducer_) return has_batch;
  const std::vector<double> all = reducer_->sum({has_batch ? 1.0 : 0.0, stop_wanted_ ? 1.0 : 0.0});
  if (all[1] > 0) {
    state_.stopped = true;
    return false;
  }
  const auto size = static_cast<double>(reducer_->size());
  if (all[0] > 0 && all[0] < size) {
    value_error("fit: inputs has a batch for ", all[0], " of ", size,
                " processes; it must give every process the same number of batches");
  }
  return all[0] > 0;
}

void Trainer::begin() {
  optimizer_->attach(parameters());  // an error where the model has others now
  settled_ = true;
  const std::lock_guard lock(state_mutex_);
  if (!restored_) {
    state_ = FitState();
    state_.first_epoch = epochs_done_;
  }
  restored_ = stop_wanted_ = false;
}

std::vector<std::pair<std::string, Tensor>> Trainer::parameters() const {
  auto all = model_->named_parameters();
  for (const auto& [name, p] : loss_->parameters()) all.emplace_back("loss." + name, p);
  return all;
}

void Trainer::restore(const FitState& state) {
  const std::lock_guard lock(state_mutex_);
  state_ = state;
  epochs_done_ = state.first_epoch + state.epoch;
  restored_ = true;
}

FitState Trainer::state() const {
  const std::lock_guard lock(state_mutex_);
  return state_;
}

// Counts the epoch; where its end cannot be told (an error in validation, Ctrl-C) it has not ended.
void Trainer::end_epoch(const std::function<void()>& tell) {
  FitState before;
  {
    const std::lock_guard lock(state_mutex_);
    before.batches = state_.batches, before.epoch_loss = state_.epoch_loss, before.epoch_count = state_.epoch_count;
    state_.history.loss.push_back(state_.epoch_count > 0 ? state_.epoch_loss / state_.epoch_count : 0.0);
    epochs_done_ = state_.first_epoch + ++state_.epoch;
    state_.batches = 0;
    state_.epoch_loss = state_.epoch_count = 0;
  }
  try {
    tell();
  } catch (...) {
    const std::lock_guard lock(state_mutex_);
    state_.history.loss.pop_back();
    epochs_done_ = state_.first_epoch + --state_.epoch;
    state_.batches = before.batches, state_.epoch_loss = before.epoch_loss, state_.epoch_count = before.epoch_count;
    throw;
  }
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

void Trainer::part_step(Batch& batch, bool is_last, Objective& objective, Clock& clock, double& loss) {
  const Tensor part = objective.loss(*this, batch);
  clock.end(Part::kLoss);
  const double value = part.item();
  if (!std::isfinite(value)) {
    value_error("fit: the loss is ", value, " at step ", optimizer_->steps() + 1,
                "; the parameters are as the step before left them (lower lr, clip_norm= or a look at the data help)");
  }
  loss += value;
  {
    const Reducer::Last last(is_last && !objective.has_after_backward() ? reducer_.get() : nullptr);
    backward(part, Tensor());
  }
  objective.after_backward(*this, batch);
  clock.end(Part::kBackward);
}

// One update; gives the loss.
double Trainer::step(std::vector<Batch>& batches, Objective& objective, Clock& clock) {
  optimizer_->zero_grad();
  const auto steps = static_cast<std::uint64_t>(optimizer_->steps());
  const std::uint64_t seed = reducer_ ? reducer_->own_seed(options_.seed) : options_.seed;
  double loss = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    // Of several processes some may have no sample of a batch.
    if (reducer_ && batches[i].size() == 0) continue;
    // What dropout drops: other numbers for each step, and for each batch of a step.
    model_->seed_random(i == 0 ? seed : mix_seed(seed, i), steps << 20);
    part_step(batches[i], i + 1 == batches.size(), objective, clock, loss);
  }
  if (reducer_) {
    reducer_->finish();
    share_buffers();
    loss = reducer_->sum({loss})[0];
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
  Clock clock(history, state_mutex_);
  const ClockGuard guard(*this, clock);
  auto tell = [&](const std::function<void(const Progress&)>& listener) {
    progress.step = static_cast<std::int64_t>(history.step_loss.size());
    progress.seconds = history.seconds;
    if (listener) listener(progress);
  };
  const std::uint64_t seed = reducer_ ? reducer_->own_seed(options_.seed) : options_.seed;
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
        batch.seed = mix_seed(mix_seed(seed, static_cast<std::uint64_t>(batch.step)), static_cast<std::uint64_t>(i));
        if (transform && batch.size() > 0) transform(batch);
        const std::vector<double> counts = loss_->counts(batch.targets, batch.sample_weight);
        totals.resize(counts.size());
        for (size_t k = 0; k < counts.size(); ++k) totals[k] += counts[k];
        group.push_back(std::move(batch));
      }
      if (!agree(!group.empty())) break;
      if (reducer_) totals = reducer_->sum(totals);
      clock.end(Part::kData);
      settled_ = false;
      for (Index repeat = 0; repeat < repeats; ++repeat) {
        for (Batch& batch : group) {
          batch.totals = totals;
          batch.repeat = repeat;
          batch.step = optimizer_->steps();
        }
        progress.lr = optimizer_->lr();
        progress.loss = step(group, objective, clock);
        const std::lock_guard lock(state_mutex_);
        history.step_loss.push_back(progress.loss);
        history.lr.push_back(progress.lr);
        const double count = std::accumulate(totals.begin(), totals.end(), 0.0);
        state_.epoch_loss += progress.loss * count;
        state_.epoch_count += count;
      }
      state_.batches += static_cast<Index>(group.size());
      settled_ = true;
      if (callbacks.on_batch_end) tell(callbacks.on_batch_end);
      if (clock.is_poll_due()) {
        if (callbacks.poll) callbacks.poll();
        tell(callbacks.on_step);
      }
      clock.end(Part::kCallbacks);
    }
    if (state_.stopped) break;
    if (state_.batches == 0) value_error("fit: inputs gave no batch in epoch ", state_.epoch + 1);
    if (callbacks.poll) callbacks.poll();
    tell(callbacks.on_step);
    end_epoch([&] { tell(callbacks.on_epoch_end); });
    clock.end(Part::kCallbacks);
  }
  return history;
}

}  // namespace attendo::train
