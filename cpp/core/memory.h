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

// Scratch memory of one task: a block of the pool for as long as it lives.
template <typename T>
class Scratch {
 public:
  explicit Scratch(size_t count) : block_(allocate(count * sizeof(T))) {}
  T* get() const { return reinterpret_cast<T*>(block_.get()); }

 private:
  std::shared_ptr<std::byte> block_;
};

}  // namespace attendo
