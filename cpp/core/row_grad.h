// Gradients of tables row by row: where the rows used are few, nothing as large as the table is made or read.
//
//   group    positions by id:  ids ascending, each once; the positions of one id in their own order
//   merge    (ids, rows) + (ids', rows')
//
// Positions are sorted, so each row has one owner and its sum one order, on any number of threads.
#pragma once

#include "core/tensor.h"

namespace attendo {

// Positions 0 … n-1 by their id: those of ids[g] are order[start[g]] … order[start[g + 1] - 1], ascending.
struct RowGroups {
  Tensor ids;    // (count,) int64
  Tensor start;  // (count + 1,) int64
  Tensor order;  // int64
  Index count() const { return ids.size(); }
  Index positions() const { return start.data<std::int64_t>()[count()]; }
};

// ids: n of them, each below `vocabulary`; those that are negative or `skip` are left out.
RowGroups group_rows(const std::int64_t* ids, Index n, Index vocabulary, Index skip = -1);

// dense[ids] += rows
void add_rows(const Tensor& dense, const RowGrad& grad);

// Whether x's gradient may stay one of rows: a leaf that has no whole one yet.
bool keeps_rows(const Tensor& x);

// Adds `grad` to x's gradient, for which keeps_rows holds.
void accumulate_rows(const Tensor& x, RowGrad grad);

}  // namespace attendo
