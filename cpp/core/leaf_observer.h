// Who is told, while backward runs, which leaves' gradients will not change any more. Backward counts the uses of leaves
// only where somebody is.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace attendo {

class LeafObserver {
 public:
  // Before the first function runs: the leaves whose gradients it may change.
  virtual void expect(const std::vector<const TensorImpl*>& leaves) = 0;
  // The last function that has this leaf, or a part of it, as an input has run. Each of those expected once, unless one
  // throws.
  virtual void done(const TensorImpl* leaf) = 0;

 protected:
  ~LeafObserver() = default;
};

// Of backwards on this thread; gives the previous one.
LeafObserver* set_leaf_observer(LeafObserver* observer);

}  // namespace attendo
