// Loops over rows of a table picked by ids: the next rows are fetched while one is worked on. One thread each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

using std::ptrdiff_t;
using Id = std::int64_t;

template <typename T>
struct TableKernels {
  // y[i] = table[ids[i]], n rows of d
  void (*gather_rows)(T* y, const T* table, const Id* ids, ptrdiff_t n, ptrdiff_t d);
  // Group g: out[g] = Σ_s weight[s] x[index[s]] over s = start[g] … start[g + 1] - 1 in that order, rows of d.
  // out_row: where the groups' rows are in out (null: one after the other). weight null: 1. add: out's rows are added to.
  void (*sum_rows)(T* out, const Id* out_row, const T* x, const Id* index, const T* weight, const ptrdiff_t* start,
                   ptrdiff_t groups, ptrdiff_t d, bool add);
  // The same for a whole piece of a table: rows first … last - 1 of out are written once, past the cache; those that are
  // no group's (out_row ascends) become zeros.
  void (*fill_rows)(T* out, ptrdiff_t first, ptrdiff_t last, const Id* out_row, const T* x, const Id* index,
                    const T* weight, const ptrdiff_t* start, ptrdiff_t groups, ptrdiff_t d);
  // y[i, j] = h[i] · table[ids[i, j]];   ids, y: (n, k)
  void (*dot_rows)(T* y, const T* h, const T* table, const Id* ids, ptrdiff_t n, ptrdiff_t k, ptrdiff_t d);
  // y = log(1 + e^z), slope = σ(z) = dy/dz
  void (*softplus)(T* y, T* slope, const T* z, ptrdiff_t n);
};

template <typename T>
const TableKernels<T>& table_kernels();

}  // namespace attendo::kernels
