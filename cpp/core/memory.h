// Pooled memory. A block that is let go is kept for the next request of its size class, so that a training step that
// has run once asks the system for nothing more.
#pragma once

#include <cstddef>
#include <memory>

namespace attendo {

inline constexpr size_t kAlignment = 64;  // a cache line, and an AVX-512 vector

// Uninitialised, 64-byte aligned; goes back to the pool with the last owner. Throws std::bad_alloc.
std::shared_ptr<std::byte> allocate(size_t bytes);

struct MemoryStats {
  size_t live_bytes = 0;    // handed out now
  size_t cached_bytes = 0;  // kept for reuse
  size_t system_calls = 0;  // blocks ever asked from the system
};
MemoryStats memory_stats();

// Gives every cached block back to the system.
void release_cached_memory();

// For as long as it lives, this thread runs a task that up to `width` threads run at once. How many of them really do is
// a matter of time: the first to ask for scratch memory gets as much for all, so that the pool does not grow later.
class TaskScope {
 public:
  // held: scratch blocks of the task that started this one, on whatever thread; 0 when no task did.
  TaskScope(size_t width, size_t held);
  static bool active();
  static size_t blocks();  // that the task on this thread holds
  ~TaskScope();
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;

 private:
  size_t width_, depth_;
};

// A block for as long as it lives, on the thread that made it.
class ScratchBlock {
 public:
  explicit ScratchBlock(size_t bytes);
  ~ScratchBlock();
  ScratchBlock(ScratchBlock&& other) noexcept : bytes_(other.bytes_), place_(other.place_), block_(other.block_) {
    other.block_ = nullptr;
  }
  ScratchBlock& operator=(ScratchBlock&&) = delete;
  void* get() const { return block_; }

 private:
  size_t bytes_;
  size_t place_;  // which of the blocks of a task: 1 for the first; 0 outside tasks
  void* block_;
};

// Scratch memory of one task.
template <typename T>
class Scratch {
 public:
  explicit Scratch(size_t count) : block_(count * sizeof(T)) {}
  T* get() const { return static_cast<T*>(block_.get()); }

 private:
  ScratchBlock block_;
};

}  // namespace attendo
