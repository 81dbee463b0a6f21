#include "train/batches.h"

#include <cstring>
#include <numeric>

namespace attendo::train {

Tensor take_rows(const Tensor& x, const std::vector<Index>& order, Index begin, Index end) {
  Shape shape = x.shape();
  shape[0] = end - begin;
  Tensor out = Tensor::empty(shape, x.dtype());
  const size_t row = x.dim(0) == 0 ? 0 : x.bytes() / static_cast<size_t>(x.dim(0));
  for (Index i = begin; i < end; ++i) {
    std::memcpy(out.raw() + static_cast<size_t>(i - begin) * row,
                x.raw() + static_cast<size_t>(order[static_cast<size_t>(i)]) * row, row);
  }
  return out;
}

std::vector<Index> epoch_order(Index samples, bool shuffle, std::uint64_t seed, Index epoch) {
  if (shuffle) {
    Generator generator(mix_seed(seed, static_cast<std::uint64_t>(epoch)));
    return permutation(samples, generator);
  }
  std::vector<Index> order(static_cast<size_t>(samples));
  std::iota(order.begin(), order.end(), Index{0});
  return order;
}

}  // namespace attendo::train
