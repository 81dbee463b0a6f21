// Shape: up to eight axis lengths, kept inline so that making a tensor costs one allocation.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>

#include "core/error.h"

namespace attendo {

using Index = std::ptrdiff_t;

inline constexpr int kMaxRank = 8;
// Far above any machine's memory, and far below overflow of sizes in bytes.
inline constexpr Index kMaxElements = Index{1} << 46;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Index> dims) {
    for (Index dim : dims) push_back(dim);
  }

  int rank() const { return rank_; }
  Index operator[](int axis) const { return dims_[static_cast<size_t>(axis < 0 ? axis + rank_ : axis)]; }
  Index& operator[](int axis) { return dims_[static_cast<size_t>(axis < 0 ? axis + rank_ : axis)]; }
  const Index* begin() const { return dims_.data(); }
  const Index* end() const { return dims_.data() + rank_; }

  void push_back(Index dim) {
    if (rank_ == kMaxRank) value_error("shape: at most ", kMaxRank, " axes are supported");
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
  void erase(int axis) {
    for (int i = axis; i + 1 < rank_; ++i) dims_[static_cast<size_t>(i)] = dims_[static_cast<size_t>(i + 1)];
    --rank_;
  }

  // Number of elements; throws when the product does not fit in memory any machine has.
  Index size() const;
  // Product of the axes [first, last).
  Index product(int first, int last) const {
    Index n = 1;
    for (int i = first; i < last; ++i) n *= dims_[static_cast<size_t>(i)];
    return n;
  }
  Shape slice(int first, int last) const {
    Shape out;
    for (int i = first; i < last; ++i) out.push_back(dims_[static_cast<size_t>(i)]);
    return out;
  }

  bool operator==(const Shape& other) const {
    return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
  }

  std::string str() const;  // "(2, 3)", as Python writes it

 private:
  std::array<Index, kMaxRank> dims_{};
  int rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

// NumPy's rule: false when the two do not broadcast.
bool try_broadcast(const Shape& a, const Shape& b, Shape& out);

// The shape two arrays broadcast to by NumPy's rule; `op` names the caller in the error.
Shape broadcast_shapes(const char* op, const char* a_name, const Shape& a, const char* b_name, const Shape& b);

// -1 counts from the end; throws when out of range.
int normalize_axis(const char* op, int axis, int rank);

}  // namespace attendo
