// Which of the instruction sets compiled into this library runs. Chosen once, by what the CPU has and ATTENDO_ISA allows.
#pragma once

namespace attendo::kernels {

enum class Isa { kBaseline, kAvx2, kAvx512 };

Isa isa();
const char* isa_name();  // "avx512", "avx2" or "baseline" ("neon" on arm64)

// False when ATTENDO_ISA names no instruction set; isa() then goes by the CPU alone.
bool isa_wish_is_known();

}  // namespace attendo::kernels
