#include "core/cost.h"

#include "core/memory.h"

namespace attendo {
namespace {

Index live_bytes() { return static_cast<Index>(memory_stats().live_bytes); }

}  // namespace

CostCounter::CostCounter() : outer_(cost_counter) { cost_counter = this; }

CostCounter::~CostCounter() {
  cost_counter = outer_;
  count_multiply_adds(multiply_adds());
}

const CostCounter::Entry* CostCounter::of(const void* module) const {
  const auto found = entries_.find(module);
  return found == entries_.end() ? nullptr : &found->second;
}

void CostScope::enter(const void* module) {
  for (CostScope* scope = cost_counter->innermost_; scope != nullptr; scope = scope->around_) {
    if (scope->module_ == module) {
      outermost_ = scope;
      return;
    }
  }
  entry_ = &cost_counter->entries_[module];
  counter_ = cost_counter, outermost_ = this, module_ = module;
  around_ = counter_->innermost_;
  counter_->innermost_ = this;
  counted_before_ = counter_->multiply_adds(), bytes_before_ = live_bytes();
}

void CostScope::note(const Tensor& out) {
  if (out) entry_->shape = out.shape(), entry_->has_shape = true;
}

void CostScope::leave() {
  counter_->innermost_ = around_;
  const Index counted = counter_->multiply_adds() - counted_before_, bytes = live_bytes() - bytes_before_;
  if (around_ != nullptr) around_->inner_ += counted, around_->inner_bytes_ += bytes;
  ++entry_->calls;
  entry_->multiply_adds += counted, entry_->own_multiply_adds += counted - inner_;
  entry_->bytes += bytes, entry_->own_bytes += bytes - inner_bytes_;
}

}  // namespace attendo
