#include "core/tensor.h"

#include <cstring>

#include "core/autograd.h"
#include "core/row_grad.h"

namespace attendo {

size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return 4;
    case DType::kFloat64: return 8;
    case DType::kInt64: return 8;
    case DType::kBool: return 1;
    case DType::kInt8: return 1;
  }
  return 0;
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return "float32";
    case DType::kFloat64: return "float64";
    case DType::kInt64: return "int64";
    case DType::kBool: return "bool";
    case DType::kInt8: return "int8";
  }
  return "?";
}

TensorImpl::~TensorImpl() {
  // A graph of a million nodes must not be taken down by recursion: nodes are let go one after the other.
  if (node) release_node(std::move(node));
}

Tensor Tensor::borrow(std::shared_ptr<std::byte> owner, const Shape& shape, DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  impl->size = shape.size();
  impl->data = std::move(owner);
  impl->shape = shape;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  return borrow(allocate(static_cast<size_t>(shape.size()) * dtype_size(dtype)), shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor out = empty(shape, dtype);
  std::memset(out.raw(), 0, out.bytes());
  return out;
}

Tensor Tensor::full(const Shape& shape, DType dtype, double value) {
  Tensor out = empty(shape, dtype);
  const Index n = out.size();
  switch (dtype) {
    case DType::kFloat32: std::fill_n(out.data<float>(), n, static_cast<float>(value)); break;
    case DType::kFloat64: std::fill_n(out.data<double>(), n, value); break;
    case DType::kInt64: std::fill_n(out.data<std::int64_t>(), n, static_cast<std::int64_t>(value)); break;
    case DType::kBool: std::fill_n(out.data<bool>(), n, value != 0); break;
    case DType::kInt8: std::fill_n(out.data<std::int8_t>(), n, static_cast<std::int8_t>(value)); break;
  }
  return out;
}

const Shape& Tensor::shape() const { return impl_->shape; }
Index Tensor::size() const { return impl_->size; }
DType Tensor::dtype() const { return impl_->dtype; }
std::byte* Tensor::raw() const { return impl_->data.get(); }

double Tensor::item() const {
  if (size() != 1) value_error("item: the tensor has ", size(), " elements but must have one");
  switch (dtype()) {
    case DType::kFloat32: return static_cast<double>(*data<float>());
    case DType::kFloat64: return *data<double>();
    case DType::kInt64: return static_cast<double>(*data<std::int64_t>());
    case DType::kBool: return *data<bool>() ? 1.0 : 0.0;
    case DType::kInt8: return static_cast<double>(*data<std::int8_t>());
  }
  return 0;
}

bool Tensor::requires_grad() const { return impl_->requires_grad; }

void Tensor::set_requires_grad(bool on) const {
  if (on && !is_float(dtype())) {
    type_error("requires_grad: only float32 and float64 tensors have gradients, this one is ", dtype_name(dtype()));
  }
  if (!on && impl_->node) value_error("requires_grad: this tensor was computed; use detach() to take it off the tape");
  impl_->requires_grad = on;
}

bool Tensor::is_leaf() const { return impl_->node == nullptr; }
Tensor Tensor::grad() const {
  if (!impl_->row_grad) return impl_->grad;
  const Tensor dense = zeros(shape(), dtype());
  add_rows(dense, *impl_->row_grad);
  return dense;
}

void Tensor::set_grad(const Tensor& grad) const {
  if (grad.defined() && !is_leaf()) value_error("grad: this tensor was computed; only leaves keep a gradient");
  if (grad.defined()) {
    check_shape("grad", "grad", grad, shape());
    check_same_dtype("grad", "grad", grad, "the tensor", *this);
  }
  impl_->row_grad = nullptr;
  if (impl_->grad_owner && !impl_->sparse_grad) {
    if (grad.defined()) {
      std::memcpy(impl_->grad.raw(), grad.raw(), grad.bytes());
    } else {
      zero_grad();
    }
    return;
  }
  impl_->grad = grad.defined() ? grad.detach() : Tensor();
}

void Tensor::zero_grad() const {
  impl_->row_grad = nullptr;
  if (impl_->grad_owner && !impl_->sparse_grad) {
    std::memset(impl_->grad.raw(), 0, impl_->grad.bytes());
  } else {
    impl_->grad = Tensor();
  }
}

Tensor Tensor::scales() const { return impl_->scales; }
void Tensor::set_scales(const Tensor& scales) const { impl_->scales = scales; }

const std::shared_ptr<const LowRanks>& Tensor::low_rank() const { return impl_->low_rank; }
void Tensor::set_low_rank(std::shared_ptr<const LowRanks> updates) const { impl_->low_rank = std::move(updates); }

DType float_dtype(const Tensor& x) { return x.dtype() == DType::kInt8 && x.scales() ? x.scales().dtype() : x.dtype(); }

Tensor Tensor::detach() const {
  Tensor out = borrow(impl_->data, shape(), dtype());
  out.impl_->scales = impl_->scales;
  out.impl_->products = impl_->products;
  return out;
}

Tensor Tensor::clone() const {
  Tensor out = empty(shape(), dtype());
  std::memcpy(out.raw(), raw(), bytes());
  if (impl_->scales) out.impl_->scales = impl_->scales.clone();
  if (const auto& p = impl_->products) {
    out.impl_->products =
        std::make_shared<const Int8Products>(Int8Products{p->sums.clone(), p->input ? p->input.clone() : Tensor()});
  }
  return out;
}

Tensor Tensor::view(const Shape& shape) const {
  if (shape.size() != size()) {
    value_error("reshape: ", size(), " elements of shape ", this->shape(), " do not fit the shape ", shape);
  }
  return borrow(impl_->data, shape, dtype());
}

namespace {
std::shared_ptr<const LowRanks> rows_of(const LowRanks& updates, Index begin, Index end) {
  LowRanks out;
  for (const LowRank& u : updates) {
    const Index first = std::max(begin, u.begin), last = std::min(end, u.end);
    if (first >= last) continue;
    out.push_back(u);
    out.back().begin = first - begin, out.back().end = last - begin;
    if (last - first < u.end - u.begin) out.back().b = u.b.rows(first - u.begin, last - u.begin);
  }
  return out.empty() ? nullptr : std::make_shared<const LowRanks>(std::move(out));
}
}  // namespace

Tensor Tensor::rows(Index begin, Index end) const {
  Shape part = shape();
  const Index row = part.product(1, part.rank());
  part[0] = end - begin;
  std::byte* first = raw() + static_cast<size_t>(begin * row) * dtype_size(dtype());
  Tensor out = borrow({impl_->data, first}, part, dtype());
  if (impl_->scales) out.impl_->scales = impl_->scales.rows(begin, end);
  if (impl_->low_rank) out.impl_->low_rank = rows_of(*impl_->low_rank, begin, end);
  if (const auto& p = impl_->products) {
    out.impl_->products = std::make_shared<const Int8Products>(Int8Products{p->sums.rows(begin, end), p->input});
  }
  out.impl_->observer = impl_->observer;
  if (requires_grad()) {
    out.impl_->requires_grad = true;
    out.impl_->view_of = *this;
    out.impl_->view_offset = begin * row;
  }
  return out;
}

namespace {
template <typename To>
void convert_into(To* out, const Tensor& x) {
  const Index n = x.size();
  switch (x.dtype()) {
    case DType::kFloat32:
      std::transform(x.data<float>(), x.data<float>() + n, out, [](float v) { return static_cast<To>(v); });
      break;
    case DType::kFloat64:
      std::transform(x.data<double>(), x.data<double>() + n, out, [](double v) { return static_cast<To>(v); });
      break;
    case DType::kInt64:
      std::transform(x.data<std::int64_t>(), x.data<std::int64_t>() + n, out,
                     [](std::int64_t v) { return static_cast<To>(v); });
      break;
    case DType::kBool:
      std::transform(x.data<bool>(), x.data<bool>() + n, out, [](bool v) { return static_cast<To>(v); });
      break;
    case DType::kInt8:
      std::transform(x.data<std::int8_t>(), x.data<std::int8_t>() + n, out,
                     [](std::int8_t v) { return static_cast<To>(v); });
      break;
  }
}
}  // namespace

Tensor Tensor::to(DType dtype) const {
  Tensor out = empty(shape(), dtype);
  switch (dtype) {
    case DType::kFloat32: convert_into(out.data<float>(), *this); break;
    case DType::kFloat64: convert_into(out.data<double>(), *this); break;
    case DType::kInt64: convert_into(out.data<std::int64_t>(), *this); break;
    case DType::kBool: convert_into(out.data<bool>(), *this); break;
    case DType::kInt8: convert_into(out.data<std::int8_t>(), *this); break;
  }
  return out;
}

void check_defined(const char* op, const char* arg, const Tensor& x) {
  if (!x.defined()) type_error(op, ": ", arg, " is None but must be an array");
}

void check_float(const char* op, const char* arg, const Tensor& x) {
  check_defined(op, arg, x);
  if (!is_float(x.dtype())) {
    type_error(op, ": ", arg, " has dtype ", dtype_name(x.dtype()), " but must be float32 or float64");
  }
}

void check_same_dtype(const char* op, const char* a_name, const Tensor& a, const char* b_name, const Tensor& b) {
  if (a.dtype() != b.dtype()) {
    type_error(op, ": ", a_name, " has dtype ", dtype_name(a.dtype()), " but ", b_name, " has ", dtype_name(b.dtype()),
               "; convert one of them");
  }
}

void check_rank(const char* op, const char* arg, const Tensor& x, int rank, const char* axes) {
  check_defined(op, arg, x);
  if (x.rank() != rank) {
    value_error(op, ": ", arg, " has shape ", x.shape(), " but must have ", rank, " axes ", axes);
  }
}

void check_min_rank(const char* op, const char* arg, const Tensor& x, int rank, const char* axes) {
  check_defined(op, arg, x);
  if (x.rank() < rank) {
    value_error(op, ": ", arg, " has shape ", x.shape(), " but must have at least ", rank,
                rank == 1 ? " axis " : " axes ", axes);
  }
}

void check_shape(const char* op, const char* arg, const Tensor& x, const Shape& expected) {
  check_defined(op, arg, x);
  if (!(x.shape() == expected)) {
    value_error(op, ": ", arg, " has shape ", x.shape(), " but must have shape ", expected);
  }
}

}  // namespace attendo
