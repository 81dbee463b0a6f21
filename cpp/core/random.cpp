#include "core/random.h"

#include "core/no_draws.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <random>

namespace attendo {

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_high, std::uint64_t counter_low) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  std::array<std::uint32_t, 4> c{static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
                                 static_cast<std::uint32_t>(counter_high),
                                 static_cast<std::uint32_t>(counter_high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

std::uint64_t mix_seed(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a + 0x9E3779B97F4A7C15u * (b + 1);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::uint64_t entropy() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

namespace {

thread_local int no_draws = 0;
thread_local std::optional<Index> numbers_left;

double to_unit(std::uint32_t high, std::uint32_t low) {  // 53 bits in (0, 1)
  const std::uint64_t bits = ((static_cast<std::uint64_t>(high) << 32) | low) >> 11;
  return (static_cast<double>(bits) + 0.5) * 0x1.0p-53;
}

template <typename Draw>
void fill(const Tensor& out, Generator& generator, Draw draw) {
  const std::uint64_t stream = generator.next_stream();
  if (NoDraws::active()) return;
  const Index n = out.size();
  dispatch_float("random", "out", out, [&](auto zero) {
    using T = decltype(zero);
    T* data = out.data<T>();
    for (Index i = 0; i < n; i += 2) {
      const auto bits = philox(stream, 0, static_cast<std::uint64_t>(i / 2));
      double a = to_unit(bits[0], bits[1]);
      double b = to_unit(bits[2], bits[3]);
      draw(a, b);
      data[i] = static_cast<T>(a);
      if (i + 1 < n) data[i + 1] = static_cast<T>(b);
    }
  });
}

}  // namespace

NoDraws::NoDraws(std::optional<Index> most) : before_(numbers_left) {
  ++no_draws;
  numbers_left = most;
}
NoDraws::~NoDraws() {
  --no_draws;
  numbers_left = before_;
}
void NoDraws::count(Index numbers) {
  if (!numbers_left) return;
  if (numbers > *numbers_left) value_error("it describes more numbers than there are");
  *numbers_left -= numbers;
}
bool NoDraws::active() { return no_draws > 0; }

void fill_uniform(const Tensor& out, double low, double high, Generator& generator) {
  fill(out, generator, [=](double& a, double& b) {
    a = low + (high - low) * a;
    b = low + (high - low) * b;
  });
}

void fill_normal(const Tensor& out, double mean, double deviation, Generator& generator) {
  fill(out, generator, [=](double& a, double& b) {  // Box and Muller 1958
    const double radius = deviation * std::sqrt(-2.0 * std::log(a));
    const double angle = 2.0 * std::numbers::pi * b;
    a = mean + radius * std::cos(angle);
    b = mean + radius * std::sin(angle);
  });
}

std::vector<Index> permutation(Index n, Generator& generator) {
  std::vector<Index> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), Index{0});
  const std::uint64_t stream = generator.next_stream();
  for (Index i = n - 1; i > 0; --i) {
    const auto bits = philox(stream, 1, static_cast<std::uint64_t>(i));
    const std::uint64_t wide = (static_cast<std::uint64_t>(bits[0]) << 32) | bits[1];
    const Index j = static_cast<Index>(wide % static_cast<std::uint64_t>(i + 1));
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(j)]);
  }
  return order;
}

}  // namespace attendo
