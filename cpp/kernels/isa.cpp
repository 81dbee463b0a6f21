#include "kernels/isa.h"

#include <cstdlib>
#include <cstring>

namespace attendo::kernels {
namespace {

Isa best_of_cpu() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

Isa choose() {
  const Isa best = best_of_cpu();
  const char* wish = std::getenv("ATTENDO_ISA");
  if (wish == nullptr) return best;
  Isa limit = best;
  if (std::strcmp(wish, "baseline") == 0) limit = Isa::kBaseline;
  if (std::strcmp(wish, "avx2") == 0) limit = Isa::kAvx2;
  return limit < best ? limit : best;
}

}  // namespace

bool isa_wish_is_known() {
  const char* wish = std::getenv("ATTENDO_ISA");
  if (wish == nullptr || *wish == 0) return true;
  const char* const names[] = {"baseline", "avx2", "avx512", "neon"};
  for (const char* name : names) {
    if (std::strcmp(wish, name) == 0) return true;
  }
  return false;
}

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* isa_name() {
  switch (isa()) {
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx2: return "avx2";
    case Isa::kBaseline: break;
  }
#if defined(__aarch64__)
  return "neon";
#else
  return "baseline";
#endif
}

}  // namespace attendo::kernels
