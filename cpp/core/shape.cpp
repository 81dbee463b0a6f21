#include "core/shape.h"

#include <new>

namespace attendo {

Index Shape::size() const {
  // 2^46 elements is far above any machine's memory and far below overflow of sizes in bytes.
  constexpr Index kLimit = Index{1} << 46;
  Index n = 1;
  for (Index dim : *this) {
    if (dim == 0) return 0;
  }
  for (Index dim : *this) {
    if (dim < 0) value_error("shape: ", str(), " has a negative axis");
    if (n > kLimit / dim) throw std::bad_alloc();
    n *= dim;
  }
  return n;
}

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string((*this)[i]);
  }
  if (rank_ == 1) text += ",";
  return text + ")";
}

Shape broadcast_shapes(const char* op, const char* a_name, const Shape& a, const char* b_name, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank());
    const int ib = i - (rank - b.rank());
    const Index da = ia < 0 ? 1 : a[ia];
    const Index db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1) {
      value_error(op, ": ", a_name, " has shape ", a, " and ", b_name, " has shape ", b,
                  "; they do not broadcast (axes must be equal or 1)");
    }
    out.push_back(da == 1 ? db : da);
  }
  return out;
}

int normalize_axis(const char* op, int axis, int rank) {
  if (axis < -rank || axis >= rank) {
    value_error(op, ": axis is ", axis, " but the array has ", rank, rank == 1 ? " axis" : " axes");
  }
  return axis < 0 ? axis + rank : axis;
}

}  // namespace attendo
