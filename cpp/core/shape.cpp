#include "core/shape.h"

namespace attendo {

Index Shape::size() const {
  Index n = 1;
  for (Index dim : *this) {
    if (dim == 0) return 0;
  }
  for (Index dim : *this) {
    if (dim < 0) value_error("shape: ", str(), " has a negative axis");
    if (n > kMaxElements / dim) throw OutOfMemory(concat("an array of shape ", str(), " does not fit in memory"));
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

bool try_broadcast(const Shape& a, const Shape& b, Shape& out) {
  const int rank = std::max(a.rank(), b.rank());
  out = Shape();
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank());
    const int ib = i - (rank - b.rank());
    const Index da = ia < 0 ? 1 : a[ia];
    const Index db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1) return false;
    out.push_back(da == 1 ? db : da);
  }
  return true;
}

Shape broadcast_shapes(const char* op, const char* a_name, const Shape& a, const char* b_name, const Shape& b) {
  Shape out;
  if (!try_broadcast(a, b, out)) {
    value_error(op, ": ", a_name, " has shape ", a, " and ", b_name, " has shape ", b,
                "; they do not broadcast (axes must be equal or 1)");
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
