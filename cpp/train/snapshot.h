#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace attendo::train {

// A copy of many tensors, one behind the other in one block of memory. The block is kept and written over by the next
// copy: taking one costs no more than moving the bytes.
class Snapshot {
 public:
  using NamedTensor = std::pair<std::string, Tensor>;
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    size_t begin, end;  // bytes of the block
  };

  void take(const std::vector<NamedTensor>& tensors);
  const std::vector<Entry>& entries() const { return entries_; }
  size_t bytes() const { return bytes_; }
  const Tensor& block() const { return block_; }  // int8, as long as the largest copy so far

 private:
  std::vector<Entry> entries_;
  size_t bytes_ = 0;
  Tensor block_;
};

}  // namespace attendo::train
