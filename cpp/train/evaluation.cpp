// What a model gives for every sample, and its loss over all of them, batch by batch in evaluation mode.
#include <cmath>
#include <cstring>

#include "train/trainer.h"

namespace attendo::train {
namespace {

// Puts the outputs of batches one below the other.
class Outputs {
 public:
  Outputs(const char* call, Index samples, bool all) : call_(call), samples_(samples), all_(all) {}

  void add(const Tensors& outputs, Index begin, Index end) {
    const size_t wanted = all_ ? outputs.size() : 1;
    if (begin == 0) whole_.resize(wanted);
    if (wanted != whole_.size()) {
      value_error(call_, ": the model gave ", wanted, " outputs for one batch and ", whole_.size(), " for another");
    }
    for (size_t i = 0; i < wanted; ++i) add(whole_[i], outputs[i], begin, end);
  }
  const Tensors& whole() const { return whole_; }

 private:
  void add(Tensor& whole, const Tensor& part, Index begin, Index end) {
    check_min_rank(call_, "the model's output", part, 1, "(samples, ...)");
    if (part.dim(0) != end - begin) {
      value_error(call_, ": the model gave ", part.dim(0), " rows for ", end - begin, " samples");
    }
    Shape shape = part.shape();
    shape[0] = samples_;
    if (!whole) whole = Tensor::empty(shape, part.dtype());
    Shape expected = whole.shape();
    expected[0] = end - begin;
    check_shape(call_, "the model's output", part, expected);
    std::memcpy(whole.raw() + static_cast<size_t>(begin) * (whole.bytes() / static_cast<size_t>(samples_)), part.raw(),
                part.bytes());
  }

  const char* call_;
  Index samples_;
  bool all_;
  Tensors whole_;
};

Tensors take(const Columns& columns, const std::vector<Index>& order, Index begin, Index end) {
  Tensors batch;
  for (const Samples& column : columns) batch.push_back(column.take(order, begin, end));
  return batch;
}

Tensor take(const Tensor& weight, const std::vector<Index>& order, Index begin, Index end) {
  return weight ? Samples{weight, {}, 0}.take(order, begin, end) : Tensor();
}

}  // namespace

Index check_columns(const char* call, const Columns& inputs, const Columns* targets, const Tensor& sample_weight,
                    Index batch_size) {
  const Index samples = check_samples(call, "inputs", inputs);
  if (targets != nullptr) {
    const Index rows = check_samples(call, "target", *targets);
    if (rows != samples) value_error(call, ": target has ", rows, " samples but inputs have ", samples);
  }
  if (sample_weight) {
    check_float(call, "sample_weight", sample_weight);
    check_shape(call, "sample_weight", sample_weight, {samples});
    dispatch_float(call, "sample_weight", sample_weight, [&](auto zero) {
      using T = decltype(zero);
      const T* w = sample_weight.data<T>();
      double sum = 0;
      for (Index i = 0; i < samples; ++i) {
        if (!(w[i] >= 0 && std::isfinite(w[i]))) {
          value_error(call, ": sample_weight has ", w[i], " but must be finite and 0 or more");
        }
        sum += static_cast<double>(w[i]);
      }
      if (!(sum > 0)) value_error(call, ": sample_weight is 0 everywhere");
    });
  }
  if (batch_size < 1) value_error(call, ": batch_size is ", batch_size, " but must be 1 or more");
  return samples;
}

Evaluation Trainer::evaluate(const Columns& inputs, const Columns& targets, const Tensor& sample_weight,
                             Index batch_size, bool keep_outputs, const std::function<void()>& poll) {
  const Index samples = check_columns("evaluate", inputs, &targets, sample_weight, batch_size);
  batch_size = std::min(batch_size, samples);
  const nn::ModeGuard mode(*model_, false);
  const NoGrad no_grad;
  const std::vector<Index> order = epoch_order(samples, false, 0, 0);
  auto for_batches = [&](const auto& body) {
    for (Index begin = 0; begin < samples; begin += batch_size) body(begin, std::min(samples, begin + batch_size));
  };
  std::vector<double> totals;
  for_batches([&](Index begin, Index end) {
    const std::vector<double> counts =
        loss_->counts(take(targets, order, begin, end), take(sample_weight, order, begin, end));
    totals.resize(counts.size());
    for (size_t k = 0; k < counts.size(); ++k) totals[k] += counts[k];
  });
  Evaluation result;
  double right = 0, of = 0;
  bool has_accuracy = true;
  Outputs kept("evaluate", samples, targets.size() > 1);
  for_batches([&](Index begin, Index end) {
    if (poll) poll();
    const Tensors batch_targets = take(targets, order, begin, end);
    const Tensors outputs = model_->forward(take(inputs, order, begin, end));
    if (outputs.empty()) value_error("evaluate: the model's forward returned nothing");
    result.loss += loss_->part(outputs, batch_targets, take(sample_weight, order, begin, end), totals).item();
    const auto correct = loss_->correct(outputs, batch_targets);
    has_accuracy = has_accuracy && correct.has_value();
    if (correct) right += correct->first, of += correct->second;
    if (keep_outputs) kept.add(outputs, begin, end);
  });
  if (has_accuracy && of > 0) result.accuracy = right / of;
  result.outputs = kept.whole();
  return result;
}

Tensors Trainer::predict(const Columns& inputs, Index batch_size, bool all_outputs, const std::function<void()>& poll) {
  const Index samples = check_columns("predict", inputs, nullptr, Tensor(), batch_size);
  batch_size = std::min(batch_size, samples);
  const nn::ModeGuard mode(*model_, false);
  const NoGrad no_grad;
  const std::vector<Index> order = epoch_order(samples, false, 0, 0);
  Outputs kept("predict", samples, all_outputs);
  for (Index begin = 0; begin < samples; begin += batch_size) {
    if (poll) poll();
    const Index end = std::min(samples, begin + batch_size);
    const Tensors outputs = model_->forward(take(inputs, order, begin, end));
    if (outputs.empty()) value_error("predict: the model's forward returned nothing");
    kept.add(outputs, begin, end);
  }
  return kept.whole();
}

}  // namespace attendo::train
