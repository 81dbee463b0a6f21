// Parallel loops with the same bits on any number of threads: how work is cut depends on the problem's size alone.
#pragma once

#include <algorithm>
#include <type_traits>

#include "core/shape.h"

namespace attendo {

void set_num_threads(int threads);
int num_threads();
const char* tbb_version();  // of the library that is loaded

// Runs fn(context, i) for i in [0, tasks), each once, in no fixed order.
void run_tasks(Index tasks, void (*fn)(void* context, Index task), void* context);

// body(task) for every task. Tasks should cost 10 µs at least; a single task runs on the calling thread.
template <typename Body>
void parallel_for(Index tasks, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  run_tasks(
      tasks, [](void* context, Index task) { (*static_cast<Plain*>(context))(task); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// body(begin, end) over [0, n) in ranges of `grain`.
template <typename Body>
void parallel_ranges(Index n, Index grain, Body&& body) {
  if (n <= grain) {
    if (n > 0) body(Index{0}, n);
    return;
  }
  parallel_for((n + grain - 1) / grain, [&](Index task) { body(task * grain, std::min(n, (task + 1) * grain)); });
}

// Rows a task for `rows` rows that cost `work` multiply-adds each, so that a task has about 200,000 of them.
inline Index rows_per_task(Index work) { return std::max<Index>(1, 200000 / std::max<Index>(1, work)); }

// At most this many partial sums; they are added in order, whatever thread made them.
inline constexpr Index kMaxShards = 16;

// Cuts n rows into shards of equal size (the last may be short): as many as `grain` allows, at most kMaxShards.
struct Shards {
  Index count = 1;
  Index rows = 0;
  Shards(Index n, Index grain)
      : count(std::clamp<Index>(n / std::max<Index>(1, grain), 1, kMaxShards)), rows((n + count - 1) / count) {
    count = rows == 0 ? 1 : (n + rows - 1) / rows;
  }
};

}  // namespace attendo
