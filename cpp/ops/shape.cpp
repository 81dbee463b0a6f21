// Operations that move elements and compute nothing
//
//   reshape, transpose, slice, concatenate, select:   y = P x,   dx = Pᵀ dy      (P: a selection or permutation of elements)
#include "ops/shape.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "ops/xtensor.h"

namespace attendo {
namespace {

// Moving needs the size of an element, not its type.
template <typename Body>
void dispatch_width(const Tensor& x, const Body& body) {
  switch (dtype_size(x.dtype())) {
    case 1: body(std::uint8_t{}); break;
    case 4: body(std::uint32_t{}); break;
    default: body(std::uint64_t{}); break;
  }
}

// (outer, a, b) -> (outer, b, a) in squares, of which rows and columns stay in the cache.
template <typename T>
void transpose_matrices(T* out, const T* in, Index outer, Index a, Index b) {
  constexpr Index kSquare = 32;
  const Index bands = (a + kSquare - 1) / kSquare;
  parallel_ranges(outer * bands, rows_per_task(8 * kSquare * b), [=](Index begin, Index end) {
    for (Index band = begin; band < end; ++band) {
      const Index o = band / bands * a * b, first = band % bands * kSquare, last = std::min(a, first + kSquare);
      for (Index k = 0; k < b; k += kSquare) {
        // By way of a copy, whose rows are not a power of two apart.
        T square[kSquare][kSquare + 1];
        const Index columns = std::min(kSquare, b - k);
        for (Index i = first; i < last; ++i) {
          for (Index j = 0; j < columns; ++j) square[j][i - first] = in[o + i * b + k + j];
        }
        for (Index j = 0; j < columns; ++j) std::copy_n(square[j], last - first, out + o + (k + j) * a + first);
      }
    }
  });
}

Tensor transpose_forward(const Tensor& x, const std::vector<int>& axes) {
  Shape shape;
  for (int axis : axes) shape.push_back(x.dim(axis));
  Tensor y = Tensor::empty(shape, x.dtype());
  if (x.size() == 0) return y;
  dispatch_width(x, [&](auto zero) {
    using T = decltype(zero);
    // The common case, two neighbouring axes swapped, as (outer, a, b, inner) -> (outer, b, a, inner).
    const int rank = x.rank();
    int first = 0;
    while (first < rank && axes[static_cast<size_t>(first)] == first) ++first;
    int last = rank;
    while (last > first && axes[static_cast<size_t>(last - 1)] == last - 1) --last;
    const int split = first < rank ? axes[static_cast<size_t>(first)] : rank;
    bool rotation = true;
    for (int i = first; i < last; ++i) {
      const int expected = split + i - first < last ? split + i - first : first + (split + i - first - last);
      rotation = rotation && axes[static_cast<size_t>(i)] == expected;
    }
    const T* in = x.data<T>();
    T* out = y.data<T>();
    if (rotation) {
      const Index outer = x.shape().product(0, first), a = x.shape().product(first, split);
      const Index b = x.shape().product(split, last), inner = x.shape().product(last, rank);
      if (inner == 1) {
        transpose_matrices(out, in, outer, a, b);
        return;
      }
      for (Index o = 0; o < outer; ++o) {
        for (Index i = 0; i < a; ++i) {
          for (Index j = 0; j < b; ++j) {
            std::copy_n(in + ((o * a + i) * b + j) * inner, inner, out + ((o * b + j) * a + i) * inner);
          }
        }
      }
      return;
    }
    auto target = adapt<T>(y);
    const auto source = adapt<T>(x);
    xt::noalias(target) = xt::transpose(source, axes);
  });
  return y;
}

template <typename T>
void select_forward(T* y, const T* x, const bool* kept, T other, Index n) {
  for (Index i = 0; i < n; ++i) {
    const T value = x[i];  // read whatever `kept` is: a load behind a condition keeps the loop from being vectorised
    y[i] = kept[i] ? value : other;
  }
}

xt::xstrided_slice_vector strided(const std::vector<SliceAxis>& key) {
  xt::xstrided_slice_vector out;
  for (const SliceAxis& axis : key) out.push_back(xt::range(axis.start, axis.stop, axis.step));
  return out;
}

Shape kept_shape(const std::vector<SliceAxis>& key) {  // with squeezed axes still there, of length 1
  Shape shape;
  for (const SliceAxis& axis : key)
    shape.push_back(std::max<Index>(0, (axis.stop - axis.start + axis.step - 1) / axis.step));
  return shape;
}

// slice's transpose: d_y where `key` says, zeros elsewhere.
Tensor unslice(const Tensor& d_y, const Shape& shape, const std::vector<SliceAxis>& key) {
  Tensor x = Tensor::zeros(shape, d_y.dtype());
  if (d_y.size() > 0) {
    dispatch_width(x, [&](auto zero) {
      using T = decltype(zero);
      auto target = adapt<T>(x);
      const auto source = adapt<T>(d_y.view(kept_shape(key)));
      auto view = xt::strided_view(target, strided(key));
      xt::noalias(view) = source;
    });
  }
  if (!needs_grad({&d_y})) return x;
  record("slice", {d_y}, {x}, Twice::kYes, [d_y, key](const Tensors& d) { accumulate(d_y, slice(d[0], key)); });
  return x;
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& wanted) {
  check_defined("reshape", "x", x);
  Shape shape = wanted;
  int unknown = -1;
  Index known = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1) {
      if (unknown >= 0) value_error("reshape: shape ", wanted, " has more than one -1");
      unknown = i;
    } else if (shape[i] < 0) {
      value_error("reshape: shape ", wanted, " has a negative axis");
    } else if (shape[i] != 0 && known > kMaxElements / shape[i]) {
      value_error("reshape: ", x.size(), " elements of shape ", x.shape(), " do not fit the shape ", wanted);
    } else {
      known *= shape[i];
    }
  }
  if (unknown >= 0) {
    if (known == 0 || x.size() % known != 0) {
      value_error("reshape: ", x.size(), " elements of shape ", x.shape(), " do not fit the shape ", wanted);
    }
    shape[unknown] = x.size() / known;
  }
  if (shape == x.shape()) return x;
  Tensor y = x.view(shape);
  if (!needs_grad({&x})) return y;
  record("reshape", {x}, {y}, Twice::kYes, [x](const Tensors& d) { accumulate(x, reshape(d[0], x.shape())); });
  return y;
}

Tensor transpose(const Tensor& x, std::vector<int> axes) {
  check_defined("transpose", "x", x);
  const int rank = x.rank();
  if (axes.empty()) {
    for (int i = rank - 1; i >= 0; --i) axes.push_back(i);
  }
  if (static_cast<int>(axes.size()) != rank) {
    value_error("transpose: axes has ", axes.size(), " entries but x has ", rank, " axes");
  }
  std::vector<int> inverse(axes.size(), -1);
  for (size_t i = 0; i < axes.size(); ++i) {
    axes[i] = normalize_axis("transpose", axes[i], rank);
    int& slot = inverse[static_cast<size_t>(axes[i])];
    if (slot >= 0) value_error("transpose: axes names axis ", axes[i], " twice");
    slot = static_cast<int>(i);
  }
  if (std::is_sorted(axes.begin(), axes.end())) return x;
  Tensor y = transpose_forward(x, axes);
  if (!needs_grad({&x})) return y;
  record("transpose", {x}, {y}, Twice::kYes,
         [x, inverse](const Tensors& d) { accumulate(x, transpose(d[0], inverse)); });
  return y;
}

Tensor swap_axes(const Tensor& x, int a, int b) {
  const int rank = x.rank();
  std::vector<int> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<size_t>(normalize_axis("swapaxes", a, rank))],
            axes[static_cast<size_t>(normalize_axis("swapaxes", b, rank))]);
  return transpose(x, axes);
}

Tensor slice(const Tensor& x, const std::vector<SliceAxis>& key) {
  check_defined("slice", "x", x);
  const Shape kept = kept_shape(key);
  Tensor y = Tensor::empty(kept, x.dtype());
  if (y.size() > 0) {
    dispatch_width(x, [&](auto zero) {
      using T = decltype(zero);
      auto target = adapt<T>(y);
      const auto source = adapt<T>(x);
      xt::noalias(target) = xt::strided_view(source, strided(key));
    });
  }
  Shape shape;
  for (size_t i = 0; i < key.size(); ++i) {
    if (!key[i].squeeze) shape.push_back(kept[static_cast<int>(i)]);
  }
  y = y.view(shape);
  if (!needs_grad({&x})) return y;
  record("slice", {x}, {y}, Twice::kYes, [x, key](const Tensors& d) { accumulate(x, unslice(d[0], x.shape(), key)); });
  return y;
}

Tensor concatenate(const Tensors& parts, int axis) {
  if (parts.empty()) value_error("concatenate: arrays is empty");
  for (const Tensor& part : parts) check_defined("concatenate", "arrays", part);
  const int rank = parts[0].rank();
  if (rank == 0) value_error("concatenate: arrays must have at least one axis");
  axis = normalize_axis("concatenate", axis, rank);
  Shape shape = parts[0].shape();
  shape[axis] = 0;
  for (const Tensor& part : parts) {
    check_same_dtype("concatenate", "an array", part, "the first", parts[0]);
    bool fits = part.rank() == rank;
    for (int i = 0; fits && i < rank; ++i) fits = i == axis || part.dim(i) == shape[i];
    if (!fits) {
      value_error("concatenate: arrays have shapes ", parts[0].shape(), " and ", part.shape(),
                  "; they must agree but for axis ", axis);
    }
    shape[axis] += part.dim(axis);
  }
  Tensor y = Tensor::empty(shape, parts[0].dtype());
  const Index outer = shape.product(0, axis);
  const size_t width = dtype_size(y.dtype()) * static_cast<size_t>(shape.product(axis + 1, rank));
  const size_t row = static_cast<size_t>(shape[axis]) * width;
  size_t offset = 0;
  for (const Tensor& part : parts) {
    const size_t length = static_cast<size_t>(part.dim(axis)) * width;
    for (Index o = 0; o < outer && length > 0; ++o) {
      std::memcpy(y.raw() + static_cast<size_t>(o) * row + offset, part.raw() + static_cast<size_t>(o) * length,
                  length);
    }
    offset += length;
  }
  if (!needs_grad(parts)) return y;
  record("concatenate", parts, {y}, Twice::kYes, [parts, axis, outer, width, row](const Tensors& d) {
    size_t at = 0;
    Index first = 0;
    for (const Tensor& part : parts) {
      const size_t length = static_cast<size_t>(part.dim(axis)) * width;
      if (part.requires_grad() && grad_enabled()) {
        accumulate(part, take(d[0], axis, first, first + part.dim(axis)));
      } else if (part.requires_grad()) {
        Tensor d_part = Tensor::empty(part.shape(), part.dtype());
        for (Index o = 0; o < outer && length > 0; ++o) {
          std::memcpy(d_part.raw() + static_cast<size_t>(o) * length, d[0].raw() + static_cast<size_t>(o) * row + at,
                      length);
        }
        accumulate(part, d_part);
      }
      at += length;
      first += part.dim(axis);
    }
  });
  return y;
}

Tensor take(const Tensor& x, int axis, Index begin, Index end) {
  std::vector<SliceAxis> key;
  for (int i = 0; i < x.rank(); ++i) key.push_back(i == axis ? SliceAxis{begin, end, 1} : SliceAxis{0, x.dim(i), 1});
  return slice(x, key);
}

Tensor select(const Tensor& x, const Tensor& kept, double other) {
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  const bool* keep = kept.data<bool>();
  dispatch_float("select", "x", x, [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_ranges(x.size(), 1 << 15, [=](Index begin, Index end) {
      select_forward(out + begin, in + begin, keep + begin, static_cast<T>(other), end - begin);
    });
  });
  if (!needs_grad({&x})) return y;
  record("select", {x}, {y}, Twice::kYes, [x, kept](const Tensors& d) { accumulate(x, select(d[0], kept)); });
  return y;
}

}  // namespace attendo
