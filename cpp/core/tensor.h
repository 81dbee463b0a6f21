// Tensor: a contiguous, row-major, 64-byte aligned array with shared ownership, and the place its gradient goes.
//
// A Tensor is a handle: copies share the data. Operations make new ones; only the optimizer and `assign` write in place.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/memory.h"
#include "core/shape.h"

namespace attendo {

// kInt8: the matrix of a layer, with a scale for each few neighbours (ops/linear_int8.h) or each row
// (ops/quantized_linear.h); no other operation takes it.
enum class DType : std::uint8_t { kFloat32, kFloat64, kInt64, kBool, kInt8 };

size_t dtype_size(DType dtype);
const char* dtype_name(DType dtype);  // NumPy's name: "float32"
inline bool is_float(DType dtype) { return dtype == DType::kFloat32 || dtype == DType::kFloat64; }

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kFloat64;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::kInt64;
}
template <>
constexpr DType dtype_of<bool>() {
  return DType::kBool;
}
template <>
constexpr DType dtype_of<std::int8_t>() {
  return DType::kInt8;
}

struct InputObserver;
struct Node;
struct TensorImpl;

struct LowRank;
using LowRanks = std::vector<LowRank>;

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  static Tensor empty(const Shape& shape, DType dtype);
  static Tensor zeros(const Shape& shape, DType dtype);
  static Tensor full(const Shape& shape, DType dtype, double value);
  static Tensor scalar(DType dtype, double value) { return full({}, dtype, value); }
  // Borrows memory that `owner` keeps alive.
  static Tensor borrow(std::shared_ptr<std::byte> owner, const Shape& shape, DType dtype);

  bool defined() const { return impl_ != nullptr; }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  Index dim(int axis) const { return shape()[axis]; }
  Index size() const;
  DType dtype() const;
  size_t bytes() const { return static_cast<size_t>(size()) * dtype_size(dtype()); }

  // Of int8: (rows, groups) or (rows,), the numbers stand for scale · number. Undefined for all others.
  Tensor scales() const;
  void set_scales(const Tensor& scales) const;

  // Of a view by rows: those of its rows. Null for most tensors, and for what detach, clone, view and to give.
  const std::shared_ptr<const LowRanks>& low_rank() const;
  void set_low_rank(std::shared_ptr<const LowRanks> updates) const;

  template <typename T>
  T* data() const {
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const;

  double item() const;  // the only element, as a double

  bool requires_grad() const;
  void set_requires_grad(bool on) const;
  bool is_leaf() const;
  Tensor grad() const;  // made of the rows where the gradient is a RowGrad
  void set_grad(const Tensor& grad) const;
  void zero_grad() const;

  Tensor detach() const;                  // the same data, off the tape
  Tensor clone() const;                   // a copy, off the tape
  Tensor view(const Shape& shape) const;  // the same data with another shape, off the tape
  Tensor rows(Index begin,
              Index end) const;  // axis 0 from begin to end, sharing data; its gradient lands in this one's
  Tensor to(DType dtype) const;  // converted copy, off the tape

  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  bool same_as(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  std::shared_ptr<TensorImpl> impl_;
};

using Tensors = std::vector<Tensor>;

// The gradient of a table of which few rows were used: those of `ids`, ascending and each once; all others are zero.
struct RowGrad {
  Tensor ids;   // (n,) int64
  Tensor rows;  // (n, d)
};

// Rows begin … end of a matrix that is only ever given to linear count as W + scale · B A there (ops/lora.h).
struct LowRank {
  Tensor a, b;  // (rank, in), (end - begin, rank)
  double scale = 1;
  Index begin = 0, end = 0;
  std::function<Tensor(const Tensor& x)> drop;  // what A gets of x; empty: all of it
};

// Of an int8 matrix whose products are of whole numbers (ops/quantized_linear.h).
struct Int8Products {
  Tensor sums;   // (rows,) int64: of each row's numbers
  Tensor input;  // (2,) scale and zero point of all it is multiplied with; undefined: each row of that has its own
};

struct TensorImpl {
  std::shared_ptr<std::byte> data;
  Shape shape;
  Index size = 0;
  DType dtype = DType::kFloat32;
  bool requires_grad = false;
  // Not null while the gradient lives in an optimizer's flat buffer: then always add in place. *grad_owner is false for an
  // optimizer that lost the tensor to a later one.
  std::shared_ptr<bool> grad_owner;
  std::shared_ptr<Node> node;
  Tensor grad;
  std::unique_ptr<RowGrad> row_grad;  // in place of grad: one of the two at most is there
  bool sparse_grad = false;           // a table of a sparse layer: an optimizer steps the rows used, not all of it
  Tensor view_of;                     // for rows(): gradients are added to this tensor's,
  Index view_offset = 0;              // from this element on
  Tensor scales;                      // of int8
  std::shared_ptr<const LowRanks> low_rank;
  std::shared_ptr<const Int8Products> products;
  std::shared_ptr<InputObserver> observer;  // of what linear layers multiply this matrix with (ops/activation_range.h)

  ~TensorImpl();
};

template <typename T>
T* data_or_null(const Tensor& x) {
  return x ? x.data<T>() : nullptr;
}

// Calls body(T{}) with T = float or double. `op` and `arg` name what is wrong when the dtype is neither.
template <typename Body>
void dispatch_float(const char* op, const char* arg, const Tensor& x, Body&& body) {
  switch (x.dtype()) {
    case DType::kFloat32: body(float{}); return;
    case DType::kFloat64: body(double{}); return;
    default: type_error(op, ": ", arg, " has dtype ", dtype_name(x.dtype()), " but must be float32 or float64");
  }
}

// The floats that x holds, or stands for.
DType float_dtype(const Tensor& x);

// Checks shared by the operations; each throws an error that names the operation and the argument.
void check_defined(const char* op, const char* arg, const Tensor& x);
void check_float(const char* op, const char* arg, const Tensor& x);
void check_same_dtype(const char* op, const char* a_name, const Tensor& a, const char* b_name, const Tensor& b);
void check_rank(const char* op, const char* arg, const Tensor& x, int rank, const char* axes);
void check_min_rank(const char* op, const char* arg, const Tensor& x, int rank, const char* axes);
void check_shape(const char* op, const char* arg, const Tensor& x, const Shape& expected);

}  // namespace attendo
