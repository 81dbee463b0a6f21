#include "train/snapshot.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"

namespace attendo::train {

void Snapshot::take(const std::vector<NamedTensor>& tensors) {
  // Wide numbers first, so that each tensor begins where its numbers may begin.
  std::vector<NamedTensor> ordered = tensors;
  std::stable_sort(ordered.begin(), ordered.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return dtype_size(a.second.dtype()) > dtype_size(b.second.dtype());
  });
  entries_.clear();
  bytes_ = 0;
  for (const auto& [name, x] : ordered) {
    entries_.push_back({name, x.dtype(), x.shape(), bytes_, bytes_ + x.bytes()});
    bytes_ += x.bytes();
  }
  if (!block_ || block_.bytes() < bytes_) block_ = Tensor::zeros({static_cast<Index>(bytes_)}, DType::kInt8);
  constexpr Index kGrain = 1 << 20;  // bytes
  for (size_t i = 0; i < ordered.size(); ++i) {
    std::byte* out = block_.raw() + entries_[i].begin;
    const std::byte* in = ordered[i].second.raw();
    parallel_ranges(static_cast<Index>(ordered[i].second.bytes()), kGrain, [=](Index begin, Index end) {
      std::memcpy(out + begin, in + begin, static_cast<size_t>(end - begin));
    });
  }
}

}  // namespace attendo::train
