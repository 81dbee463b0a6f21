#include "train/reducer.h"

#include <algorithm>

namespace attendo::train {
namespace {

// Between two words to the library: a word costs a few microseconds.
constexpr auto kWordInterval = std::chrono::microseconds(200);

Tensor whole_gradient(const Tensor& table) {
  TensorImpl& impl = *table.impl();
  if (!impl.grad.defined()) {
    impl.grad = impl.row_grad ? table.grad() : Tensor::zeros(impl.shape, impl.dtype);
    impl.row_grad = nullptr;
  }
  return impl.grad;
}

}  // namespace

Reducer::Reducer(std::shared_ptr<Transport> transport, Index bucket_bytes)
    : transport_(std::move(transport)), bucket_bytes_(bucket_bytes) {
  if (!transport_) type_error("Distributed: transport must not be None");
  if (bucket_bytes < 1) value_error("Distributed: bucket_bytes is ", bucket_bytes, " but must be 1 or more");
}

void Reducer::attach(const std::shared_ptr<Optimizer>& optimizer, const std::vector<Tensor>& parameters) {
  if (!optimizer->attached()) value_error("Distributed: the optimizer has no parameters; attach it to a model first");
  std::unordered_map<const TensorImpl*, Index> position;
  for (const Tensor& p : parameters) position.emplace(p.impl().get(), static_cast<Index>(position.size()));
  std::vector<Bucket> buckets;
  std::vector<std::vector<const TensorImpl*>> members;
  for (const Optimizer::Block& block : optimizer->blocks()) {
    const Index wanted = std::max<Index>(1, bucket_bytes_ / static_cast<Index>(dtype_size(block.grads.dtype())));
    Index end = block.grads.size();
    std::vector<const TensorImpl*> leaves;
    Index first = static_cast<Index>(position.size());
    for (size_t i = block.parameters.size(); i-- > 0;) {
      const auto& [parameter, begin] = block.parameters[i];
      const TensorImpl* leaf = parameter.impl().get();
      const auto at = position.find(leaf);
      if (at != position.end()) first = std::min(first, at->second);
      leaves.push_back(leaf);
      if (end - begin < wanted && i > 0) continue;
      buckets.push_back({block.grads.rows(begin, end), first, 0});
      members.push_back(std::exchange(leaves, {}));
      end = begin;
      first = static_cast<Index>(position.size());
    }
  }
  std::vector<size_t> order(buckets.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return buckets[a].first > buckets[b].first; });
  optimizer_ = optimizer;
  buckets_.clear();
  of_leaf_.clear();
  for (const size_t i : order) {
    for (const TensorImpl* leaf : members[i]) of_leaf_.emplace(leaf, buckets_.size());
    buckets_.push_back(std::move(buckets[i]));
  }
  next_ = 0;
  watched_ = false;
}

Reducer::Last::Last(Reducer* reducer) : set_(reducer != nullptr) {
  if (set_) previous_ = set_leaf_observer(reducer);
}

Reducer::Last::~Last() {
  if (set_) set_leaf_observer(previous_);
}

void Reducer::expect(const std::vector<const TensorImpl*>& leaves) {
  if (watched_) value_error("Distributed: backward ran again after gradients of this step were sent");
  watched_ = true;
  for (Bucket& bucket : buckets_) bucket.waiting = 0;
  for (const TensorImpl* leaf : leaves) {
    const auto at = of_leaf_.find(leaf);
    if (at != of_leaf_.end()) ++buckets_[at->second].waiting;
  }
  send_ready();
}

void Reducer::done(const TensorImpl* leaf) {
  const auto at = of_leaf_.find(leaf);
  if (at == of_leaf_.end()) return;
  --buckets_[at->second].waiting;
  send_ready();
}

void Reducer::send_ready() {
  const size_t before = next_;
  while (next_ < buckets_.size() && buckets_[next_].waiting == 0) transport_->start_sum(buckets_[next_++].part);
  const auto now = Clock::now();
  if (next_ == before && next_ > 0 && now - last_word_ >= kWordInterval) transport_->progress();
  if (next_ > before || now - last_word_ >= kWordInterval) last_word_ = now;
}

void Reducer::finish() {
  if (!optimizer_) value_error("Distributed: there is no optimizer; attach one first");
  const auto start = Clock::now();
  sent_early_ = next_;
  while (next_ < buckets_.size()) transport_->start_sum(buckets_[next_++].part);
  transport_->wait();
  finish_tables();
  next_ = 0;
  watched_ = false;
  seconds_waited_ += std::chrono::duration<double>(Clock::now() - start).count();
}

void Reducer::finish_tables() {
  const std::vector<Tensor> tables = optimizer_->tables();
  if (tables.empty()) return;
  constexpr std::int64_t kWhole = 1;
  const Tensor kinds = Tensor::zeros({static_cast<Index>(tables.size())}, DType::kInt64);
  for (size_t i = 0; i < tables.size(); ++i) {
    if (tables[i].impl()->grad.defined()) kinds.data<std::int64_t>()[i] = kWhole;
  }
  const Tensors all_kinds = transport_->gather(kinds);
  for (size_t i = 0; i < tables.size(); ++i) {
    const Tensor& table = tables[i];
    const bool whole = std::any_of(all_kinds.begin(), all_kinds.end(),
                                   [i](const Tensor& of_rank) { return of_rank.data<std::int64_t>()[i] == kWhole; });
    if (whole) {
      transport_->start_sum(whole_gradient(table));
      transport_->wait();
      continue;
    }
    std::unique_ptr<RowGrad>& own = table.impl()->row_grad;
    const Tensors ids = transport_->gather(own ? own->ids : Tensor::zeros({0}, DType::kInt64));
    const Tensors rows = transport_->gather(own ? own->rows : Tensor::zeros({0, table.dim(1)}, table.dtype()));
    own = nullptr;
    for (size_t r = 0; r < ids.size(); ++r) {
      if (ids[r].size() > 0) accumulate_rows(table, {ids[r], rows[r]});
    }
  }
}

std::pair<Index, Index> Reducer::share(Index begin, Index end) const {
  const Index n = end - begin, each = n / size(), more = n % size(), r = rank();
  const Index first = begin + r * each + std::min(r, more);
  return {first, first + each + (r < more ? 1 : 0)};
}

std::uint64_t Reducer::own_seed(std::uint64_t seed) const {
  if (rank() == 0) return seed;
  // Steele et al. 2014, splitmix64: seeds that follow each other give numbers that do not.
  std::uint64_t z = seed + 0x9e3779b97f4a7c15u * static_cast<std::uint64_t>(rank());
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::vector<double> Reducer::sum(const std::vector<double>& values) const {
  const Tensor all = Tensor::empty({static_cast<Index>(values.size())}, DType::kFloat64);
  std::copy(values.begin(), values.end(), all.data<double>());
  transport_->start_sum(all);
  transport_->wait();
  return {all.data<double>(), all.data<double>() + values.size()};
}

void Reducer::broadcast(const std::vector<Tensor>& tensors) const {
  for (const Tensor& x : tensors) transport_->broadcast(x);
}

}  // namespace attendo::train
