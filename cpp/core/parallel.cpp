#include "core/parallel.h"

#include <pthread.h>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/version.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "core/cost.h"
#include "core/memory.h"

namespace attendo {
namespace {

std::atomic<bool> forked{false};

int default_threads() {
  if (const char* text = std::getenv("ATTENDO_NUM_THREADS")) {
    const int threads = std::atoi(text);
    if (threads > 0) return threads;
  }
  return tbb::info::default_concurrency();
}

struct Arena {
  std::mutex mutex;
  int threads = default_threads();
  // oneTBB makes no more workers than there are cores unless it is told to.
  std::unique_ptr<tbb::global_control> limit = allow(threads);
  std::shared_ptr<tbb::task_arena> arena = std::make_shared<tbb::task_arena>(threads);

  static std::unique_ptr<tbb::global_control> allow(int threads) {
    const auto most = static_cast<size_t>(std::max(threads, tbb::info::default_concurrency()));
    return std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, most);
  }

  // The workers of the parent do not exist in a forked child: a parallel loop there would wait for ever.
  Arena() {
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
  }
};

Arena& state() {
  static Arena* instance = new Arena;
  return *instance;
}

}  // namespace

void set_num_threads(int threads) {
  if (threads < 1 || threads > 1024) value_error("set_num_threads: threads is ", threads, " but must be 1 to 1024");
  Arena& s = state();
  const std::lock_guard lock(s.mutex);
  if (threads == s.threads) return;
  s.threads = threads;
  s.limit = Arena::allow(threads);
  s.arena = std::make_shared<tbb::task_arena>(threads);
}

int num_threads() {
  Arena& s = state();
  const std::lock_guard lock(s.mutex);
  return forked ? 1 : s.threads;
}

const char* tbb_version() { return TBB_runtime_version(); }

void run_tasks(Index tasks, void (*fn)(void* context, Index task), void* context) {
  std::shared_ptr<tbb::task_arena> arena;
  // A task that starts tasks waits for those only (isolate): were it to take up another in the meantime, it would hold
  // the scratch memory of both.
  const bool nested = TaskScope::active();
  const size_t held = TaskScope::blocks();
  size_t width = 1;
  if (tasks > 1 && !forked) {
    Arena& s = state();
    const std::lock_guard lock(s.mutex);
    if (s.threads > 1) arena = s.arena;
    width = static_cast<size_t>(nested ? s.threads : std::min<Index>(s.threads, tasks));
  }
  if (!arena) {
    for (Index i = 0; i < tasks; ++i) fn(context, i);
    return;
  }
  CostCounter* const counter = cost_counter;
  const auto loop = [&] {
    tbb::parallel_for(
        tbb::blocked_range<Index>(0, tasks, 1),
        [&](const tbb::blocked_range<Index>& range) {
          const TaskScope scope(width, held);
          const CostShare share(counter);
          for (Index i = range.begin(); i < range.end(); ++i) fn(context, i);
        },
        tbb::simple_partitioner());
  };
  if (nested) {
    tbb::this_task_arena::isolate(loop);
  } else {
    arena->execute(loop);
  }
}

}  // namespace attendo
