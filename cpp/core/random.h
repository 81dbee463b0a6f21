// Counter-based random numbers: element i of a stream is a function of (seed, stream, i) alone, so any thread can make
// any part of it. Philox-4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
#pragma once

#include <array>
#include <cstdint>

#include "core/tensor.h"

namespace attendo {

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_high, std::uint64_t counter_low);

// Mixes two numbers into one key; every bit of both matters (splitmix64's finaliser).
std::uint64_t mix_seed(std::uint64_t a, std::uint64_t b);

std::uint64_t entropy();  // a seed from the operating system

// A seed and how many streams were drawn from it. Each operation draws one stream for itself.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t seed() const { return seed_; }
  std::uint64_t drawn() const { return drawn_; }
  void set_state(std::uint64_t seed, std::uint64_t drawn) { seed_ = seed, drawn_ = drawn; }
  std::uint64_t next_stream() { return mix_seed(seed_, drawn_++); }

 private:
  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
};

void fill_uniform(const Tensor& out, double low, double high, Generator& generator);
void fill_normal(const Tensor& out, double mean, double deviation, Generator& generator);
// 0 … n-1 in random order (Fisher–Yates).
std::vector<Index> permutation(Index n, Generator& generator);

}  // namespace attendo
