// How fast this machine multiplies and adds at most: what the benchmark measures every workload against.
#pragma once

#include <cstddef>

namespace attendo::kernels {

struct PeakKernel {
  std::ptrdiff_t flops;  // of a round: two for each element of a fused multiply-add
  // Fused multiply-adds on registers alone, in float32; the result means nothing.
  float (*run)(std::ptrdiff_t rounds);
};

const PeakKernel& peak_kernel();

}  // namespace attendo::kernels
