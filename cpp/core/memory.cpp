#include "core/memory.h"

#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
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

// What TaskScope says of this thread: 0 outside tasks.
thread_local size_t task_width = 0;
thread_local size_t task_depth = 0;  // scratch blocks the task holds

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

  // The place-th block of a task, one of at least `width`. They are nobody else's: whether one is free must not depend on
  // the order in which threads come by.
  void* take_scratch(size_t bytes, size_t place, size_t width) {
    {
      const std::lock_guard lock(mutex_);
      Lane& lane = lanes_[{bytes, place}];
      while (lane.blocks < width || lane.free.empty()) {
        lane.free.reserve(lane.blocks + 1);
        void* block = std::aligned_alloc(kAlignment, bytes);
        if (block == nullptr) break;
        lane.free.push_back(block);
        ++lane.blocks;
        ++stats_.system_calls;
        stats_.cached_bytes += bytes;
      }
      if (!lane.free.empty()) {
        void* block = lane.free.back();
        lane.free.pop_back();
        stats_.cached_bytes -= bytes;
        stats_.live_bytes += bytes;
        return block;
      }
    }
    void* block = take(bytes);  // the last resort, and the error
    const std::lock_guard lock(mutex_);
    Lane& lane = lanes_[{bytes, place}];
    lane.free.reserve(++lane.blocks);
    return block;
  }

  void give_scratch(void* block, size_t bytes, size_t place) noexcept {
    const std::lock_guard lock(mutex_);
    lanes_.find({bytes, place})->second.free.push_back(block);  // has room for all its blocks
    stats_.live_bytes -= bytes;
    stats_.cached_bytes += bytes;
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
    for (auto& [key, lane] : lanes_) {
      for (void* block : lane.free) std::free(block);
      stats_.cached_bytes -= key.first * lane.free.size();
      lane.blocks -= lane.free.size();
      lane.free.clear();
    }
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  static constexpr size_t kCacheLimit = size_t{2} << 30;
  struct Lane {
    std::vector<void*> free;
    size_t blocks = 0;  // free and in use
  };
  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<void*>> free_;
  std::map<std::pair<size_t, size_t>, Lane> lanes_;  // of scratch: by size and place
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

static size_t rounded_size(size_t bytes) {
  if (bytes > physical_memory()) throw OutOfMemory(concat("an array of ", bytes, " bytes does not fit in memory"));
  return size_class(bytes == 0 ? 1 : bytes);
}

std::shared_ptr<std::byte> allocate(size_t bytes) {
  const size_t rounded = rounded_size(bytes);
  auto* block = static_cast<std::byte*>(pool().take(rounded));
  return {block, [rounded](std::byte* p) { pool().give(p, rounded); }};
}

TaskScope::TaskScope(size_t width, size_t held)
    : width_(std::exchange(task_width, width)), depth_(std::exchange(task_depth, held)) {}

bool TaskScope::active() { return task_width > 0; }

size_t TaskScope::blocks() { return task_depth; }

TaskScope::~TaskScope() {
  task_width = width_;
  task_depth = depth_;
}

ScratchBlock::ScratchBlock(size_t bytes)
    : bytes_(rounded_size(bytes)),
      place_(task_width > 0 ? task_depth + 1 : 0),
      block_(place_ > 0 ? pool().take_scratch(bytes_, place_, task_width) : pool().take(bytes_)) {
  if (place_ > 0) task_depth = place_;
}

ScratchBlock::~ScratchBlock() {
  if (block_ == nullptr) return;  // moved from
  if (place_ == 0) {
    pool().give(block_, bytes_);
    return;
  }
  pool().give_scratch(block_, bytes_, place_);
  task_depth = place_ - 1;
}

MemoryStats memory_stats() { return pool().stats(); }

void release_cached_memory() { pool().release(); }

}  // namespace attendo
