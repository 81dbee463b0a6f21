// What a computation costs: multiply-adds, counted where they are made, and booked to the module that is running.
//
//   FLOPs = 2 · multiply-adds   of products of matrices, convolutions, attention and recurrent layers
//
// Counted by the shapes: what padding adds is not, what a mask hides is. Work element by element (activations, norms,
// softmax, sums) is left out, as is usual. Nothing is counted unless a CostCounter lives on the thread.
#pragma once

#include <atomic>
#include <unordered_map>

#include "core/tensor.h"

namespace attendo {

class CostScope;

class CostCounter {
 public:
  CostCounter();
  ~CostCounter();
  CostCounter(const CostCounter&) = delete;
  CostCounter& operator=(const CostCounter&) = delete;

  // Of all calls of a module; `own`: without the modules it called.
  struct Entry {
    Index calls = 0;
    Index multiply_adds = 0, own_multiply_adds = 0;
    Index bytes = 0, own_bytes = 0;  // that were live after a call and not before
    Shape shape;                     // of the last output
    bool has_shape = false;
  };
  const Entry* of(const void* module) const;
  Index multiply_adds() const { return total_.load(std::memory_order_relaxed); }

 private:
  friend class CostScope;
  friend void count_multiply_adds(Index n);
  std::atomic<Index> total_{0};
  CostScope* innermost_ = nullptr;
  std::unordered_map<const void*, Entry> entries_;
  CostCounter* outer_;
};

inline constinit thread_local CostCounter* cost_counter = nullptr;  // of this thread, or null

// From the thread that called an operation, or from a task of its loops.
inline void count_multiply_adds(Index n) {
  if (cost_counter != nullptr) cost_counter->total_.fetch_add(n, std::memory_order_relaxed);
}

// A task counts for the thread whose loop it is part of.
class CostShare {
 public:
  explicit CostShare(CostCounter* counter) : before_(cost_counter) { cost_counter = counter; }
  ~CostShare() { cost_counter = before_; }
  CostShare(const CostShare&) = delete;
  CostShare& operator=(const CostShare&) = delete;

 private:
  CostCounter* before_;
};

// Around the forward of a module: what is counted meanwhile is its cost. In a scope of the same module it does nothing.
class CostScope {
 public:
  explicit CostScope(const void* module) {
    if (cost_counter != nullptr) enter(module);
  }
  ~CostScope() {
    if (counter_ != nullptr) leave();
  }
  CostScope(const CostScope&) = delete;
  CostScope& operator=(const CostScope&) = delete;

  // The module's output, noted and handed on.
  Tensor gives(Tensor out) {
    if (outermost_ != nullptr) outermost_->note(out);
    return out;
  }

 private:
  void enter(const void* module);
  void leave();
  void note(const Tensor& out);

  CostCounter* counter_ = nullptr;  // null where it does nothing
  CostScope* outermost_ = nullptr;  // of this module: itself, or the one that is open
  CostCounter::Entry* entry_ = nullptr;
  CostScope* around_ = nullptr;
  const void* module_ = nullptr;
  Index counted_before_ = 0, bytes_before_ = 0;
  Index inner_ = 0, inner_bytes_ = 0;  // of the scopes in it
};

}  // namespace attendo
