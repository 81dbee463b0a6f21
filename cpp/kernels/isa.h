// Which of the instruction sets compiled into this library runs. Chosen once, by what the CPU has and ATTENDO_ISA allows.
#pragma once

namespace attendo::kernels {

enum class Isa { kBaseline, kAvx2, kAvx512 };

Isa isa();
const char* isa_name();  // "avx512", "avx2" or "baseline" ("neon" on arm64)

}  // namespace attendo::kernels
