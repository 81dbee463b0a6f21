#include "core/memory.h"

#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "core/error.h"

namespace attendo {
namespace {

// Four classes a power of two: at most a quarter of a block is unused.
size_t size_class(size_t bytes) {
  if (bytes <= 256) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

class Pool {
 public:
  void* take(size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      auto found = free_.find(bytes);
      if (found != free_.end() && !found->second.empty()) {
        void* block = found->second.back();
        found->second.pop_back();
        stats_.cached_bytes -= bytes;
        stats_.live_bytes += bytes;
        return block;
      }
      ++stats_.system_calls;
    }
    void* block = std::aligned_alloc(kAlignment, bytes);
    if (block == nullptr) {
      release();
      block = std::aligned_alloc(kAlignment, bytes);
      if (block == nullptr) throw OutOfMemory(concat("no memory for an array of ", bytes, " bytes"));
    }
    const std::lock_guard lock(mutex_);
    stats_.live_bytes += bytes;
    return block;
  }

  void give(void* block, size_t bytes) noexcept {
    {
      const std::lock_guard lock(mutex_);
      stats_.live_bytes -= bytes;
      if (stats_.cached_bytes + bytes <= kCacheLimit) {
        try {
          free_[bytes].push_back(block);
          stats_.cached_bytes += bytes;
          return;
        } catch (const std::bad_alloc&) {
          // No room to remember the block: give it back instead.
        }
      }
    }
    std::free(block);
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (auto& [bytes, blocks] : free_) {
      for (void* block : blocks) std::free(block);
      stats_.cached_bytes -= bytes * blocks.size();
      blocks.clear();
    }
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  static constexpr size_t kCacheLimit = size_t{2} << 30;
  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<void*>> free_;
  MemoryStats stats_;
};

// Never destroyed: arrays handed to Python may outlive every static of this library.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

}  // namespace

// More than the machine has: some systems would promise it, and kill the process when it is touched.
static size_t physical_memory() {
  static const size_t bytes =
      static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
  return bytes;
}

std::shared_ptr<std::byte> allocate(size_t bytes) {
  if (bytes > physical_memory()) throw OutOfMemory(concat("an array of ", bytes, " bytes does not fit in memory"));
  const size_t rounded = size_class(bytes == 0 ? 1 : bytes);
  auto* block = static_cast<std::byte*>(pool().take(rounded));
  return {block, [rounded](std::byte* p) { pool().give(p, rounded); }};
}

MemoryStats memory_stats() { return pool().stats(); }

void release_cached_memory() { pool().release(); }

}  // namespace attendo
