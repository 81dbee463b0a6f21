#include "train/samples.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace attendo::train {
namespace {

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

}  // namespace

Tensor Samples::take(const std::vector<Index>& order, Index begin, Index end) const {
  if (!is_ragged()) return take_rows(values, order, begin, end);
  auto first = [&](Index i) { return starts[static_cast<size_t>(order[static_cast<size_t>(i)])]; };
  auto length = [&](Index i) { return starts[static_cast<size_t>(order[static_cast<size_t>(i)]) + 1] - first(i); };
  Index longest = 0;
  for (Index i = begin; i < end; ++i) longest = std::max(longest, length(i));
  Shape shape{end - begin, longest};
  for (int axis = 1; axis < values.rank(); ++axis) shape.push_back(values.dim(axis));
  const Tensor out = Tensor::full(shape, values.dtype(), padding);
  const size_t row = values.dim(0) == 0 ? 0 : values.bytes() / static_cast<size_t>(values.dim(0));
  for (Index i = begin; i < end; ++i) {
    std::memcpy(out.raw() + static_cast<size_t>((i - begin) * longest) * row,
                values.raw() + static_cast<size_t>(first(i)) * row, static_cast<size_t>(length(i)) * row);
  }
  return out;
}

Index check_samples(const char* call, const char* what, const Columns& columns) {
  if (columns.empty()) value_error(call, ": ", what, " is empty");
  for (const Samples& column : columns) {
    check_defined(call, what, column.values);
    check_min_rank(call, what, column.values, 1, "(samples, ...)");
    if (column.size() != columns[0].size()) {
      value_error(call, ": ", what, " have ", columns[0].size(), " and ", column.size(),
                  " samples; they must have as many");
    }
  }
  if (columns[0].size() == 0) value_error(call, ": ", what, " have no samples");
  return columns[0].size();
}

}  // namespace attendo::train
