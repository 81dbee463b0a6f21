#include "core/row_grad.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "core/autograd.h"
#include "core/memory.h"
#include "core/parallel.h"

namespace attendo {
namespace {

constexpr Index kPacked = Index{1} << 32;  // id and position in one number

// Sorts by the upper 32 bits, from their lowest digit up (Knuth, vol. 3, §5.2.5): stable, and a few passes whatever the
// table's length.
const std::uint64_t* radix_sort(std::uint64_t* a, std::uint64_t* b, Index n, Index vocabulary) {
  const int bits = std::bit_width(static_cast<std::uint64_t>(std::max<Index>(1, vocabulary - 1)));
  const int passes = (bits + 10) / 11, width = (bits + passes - 1) / passes;
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  std::vector<Index> next(static_cast<size_t>(mask) + 1);
  for (int shift = 32; shift < 32 + bits; shift += width) {
    std::fill(next.begin(), next.end(), 0);
    for (Index i = 0; i < n; ++i) ++next[(a[i] >> shift) & mask];
    std::exclusive_scan(next.begin(), next.end(), next.begin(), Index{0});
    for (Index i = 0; i < n; ++i) b[next[(a[i] >> shift) & mask]++] = a[i];
    std::swap(a, b);
  }
  return a;
}

// The positions that count, in the order of their ids.
Index sort_positions(std::int64_t* order, const std::int64_t* ids, Index n, Index vocabulary, Index skip) {
  auto counts = [=](Index i) { return ids[i] >= 0 && ids[i] != skip; };
  Index m = 0;
  if (n >= kPacked || vocabulary > kPacked) {
    for (Index i = 0; i < n; ++i) {
      if (counts(i)) order[m++] = i;
    }
    std::stable_sort(order, order + m, [ids](Index i, Index j) { return ids[i] < ids[j]; });
    return m;
  }
  Scratch<std::uint64_t> first(static_cast<size_t>(n)), second(static_cast<size_t>(n));
  for (Index i = 0; i < n; ++i) {
    if (counts(i)) first.get()[m++] = (static_cast<std::uint64_t>(ids[i]) << 32) | static_cast<std::uint64_t>(i);
  }
  const std::uint64_t* sorted = radix_sort(first.get(), second.get(), m, vocabulary);
  for (Index s = 0; s < m; ++s) order[s] = static_cast<std::int64_t>(sorted[s] & 0xffffffffu);
  return m;
}

template <typename T>
void add_rows(T* dense, const std::int64_t* ids, const T* rows, Index n, Index d) {
  parallel_ranges(n, rows_per_task(d), [=](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      T* out = dense + ids[r] * d;
      for (Index c = 0; c < d; ++c) out[c] += rows[r * d + c];
    }
  });
}

RowGrad merge(const RowGrad& a, const RowGrad& b) {
  const Index n = a.ids.size(), m = b.ids.size(), d = a.rows.dim(1);
  const std::int64_t *x = a.ids.data<std::int64_t>(), *y = b.ids.data<std::int64_t>();
  std::vector<std::int64_t> both(static_cast<size_t>(n + m));
  both.erase(std::set_union(x, x + n, y, y + m, both.begin()), both.end());
  const Index count = static_cast<Index>(both.size());
  // Room for the most there can be: requests of one size are met from the pool.
  RowGrad out{Tensor::empty({n + m}, DType::kInt64).rows(0, count),
              Tensor::empty({n + m, d}, a.rows.dtype()).rows(0, count)};
  std::copy(both.begin(), both.end(), out.ids.data<std::int64_t>());
  dispatch_float("row_grad", "rows", a.rows, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(count, rows_per_task(d), [&](Index begin, Index end) {
      Index i = begin < end ? std::lower_bound(x, x + n, both[static_cast<size_t>(begin)]) - x : 0;
      Index j = begin < end ? std::lower_bound(y, y + m, both[static_cast<size_t>(begin)]) - y : 0;
      for (Index r = begin; r < end; ++r) {
        const std::int64_t id = both[static_cast<size_t>(r)];
        const bool in_a = i < n && x[i] == id, in_b = j < m && y[j] == id;
        T* row = out.rows.data<T>() + r * d;
        std::copy_n(in_a ? a.rows.data<T>() + i * d : b.rows.data<T>() + j * d, d, row);
        if (in_a && in_b) {
          for (Index c = 0; c < d; ++c) row[c] += b.rows.data<T>()[j * d + c];
        }
        i += in_a, j += in_b;
      }
    });
  });
  return out;
}

}  // namespace

RowGroups group_rows(const std::int64_t* ids, Index n, Index vocabulary, Index skip) {
  RowGroups groups;
  groups.order = Tensor::empty({n}, DType::kInt64);
  std::int64_t* order = groups.order.data<std::int64_t>();
  const Index m = sort_positions(order, ids, n, vocabulary, skip);
  auto opens = [&](Index s) { return s == 0 || ids[order[s]] != ids[order[s - 1]]; };
  Index count = 0;
  for (Index s = 0; s < m; ++s) count += opens(s);
  // Room for n, whatever their number turns out to be: requests of one size are met from the pool.
  groups.ids = Tensor::empty({n}, DType::kInt64).rows(0, count);
  groups.start = Tensor::empty({n + 1}, DType::kInt64).rows(0, count + 1);
  std::int64_t* start = groups.start.data<std::int64_t>();
  Index g = 0;
  for (Index s = 0; s < m; ++s) {
    if (!opens(s)) continue;
    groups.ids.data<std::int64_t>()[g] = ids[order[s]];
    start[g++] = s;
  }
  start[count] = m;
  return groups;
}

void add_rows(const Tensor& dense, const RowGrad& grad) {
  dispatch_float("row_grad", "rows", dense, [&](auto zero) {
    using T = decltype(zero);
    add_rows(dense.data<T>(), grad.ids.data<std::int64_t>(), grad.rows.data<T>(), grad.ids.size(), grad.rows.dim(1));
  });
}

bool keeps_rows(const Tensor& x) {
  const TensorImpl& impl = *x.impl();
  return !impl.node && !impl.view_of.defined() && !impl.grad.defined() && gradient_sink() == nullptr;
}

void accumulate_rows(const Tensor& x, RowGrad grad) {
  if (!x.requires_grad()) return;
  std::unique_ptr<RowGrad>& own = x.impl()->row_grad;
  own = std::make_unique<RowGrad>(own ? merge(*own, grad) : std::move(grad));
}

}  // namespace attendo
