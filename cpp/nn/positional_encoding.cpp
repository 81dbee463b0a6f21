// Positional encodings, added to the embeddings
//
//   sinusoidal   P[t, 2i] = sin(t / 10000^(2i/d))     P[t, 2i+1] = cos(t / 10000^(2i/d))
//                in halves: the columns 2i in front, the columns 2i+1 behind them, as Marian has them
//   learned      P a parameter, drawn from N(0, 0.02²)
//
// x, x + P: (B, L, d).   Vaswani et al. 2017, §3.5; article 003 §5.2.
#include "nn/positional_encoding.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/cost.h"
#include "ops/arithmetic.h"

namespace attendo::nn {

Tensor sinusoidal_table(Index length, Index d_model, DType dtype, bool halves) {
  Tensor table = Tensor::empty({length, d_model}, dtype);
  dispatch_float("positional_encoding", "dtype", table, [&](auto zero) {
    using T = decltype(zero);
    T* out = table.data<T>();
    for (Index t = 0; t < length; ++t) {
      for (Index i = 0; i < d_model; ++i) {
        const double angle =
            static_cast<double>(t) * std::pow(10000.0, -static_cast<double>(i / 2 * 2) / static_cast<double>(d_model));
        const Index column = !halves ? i : i / 2 + (i % 2 == 0 ? 0 : (d_model + 1) / 2);
        out[t * d_model + column] = static_cast<T>(i % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
  });
  return table;
}

Tensor PositionalEncoding::operator()(const Tensor& x, Index offset) {
  const std::string name = type_name();
  check_rank(name.c_str(), "x", x, 3, "(batch, length, d_model)");
  if (x.dim(2) != d_model()) value_error(name, ": x has ", x.dim(2), " features but d_model is ", d_model());
  check_input(name.c_str(), "x", x, 3, d_model(), dtype());
  const Index length = x.dim(1);
  if (offset < 0) value_error(name, ": offset is ", offset, " but must be 0 or more");
  if (offset > max_len() - length) {
    value_error(name, ": x has ", length, " positions from ", offset, " on but max_len is ", max_len());
  }
  CostScope scope(this);
  return scope.gives(add(x, table(offset + length).rows(offset, offset + length)));
}

Tensor PositionalEncoding::operator()(const Tensor& x, const std::vector<Index>& offsets) {
  const Index offset = offsets.empty() ? 0 : *std::max_element(offsets.begin(), offsets.end());
  if (std::all_of(offsets.begin(), offsets.end(), [&](Index o) { return o == offset; })) return (*this)(x, offset);
  const Index rows = x.dim(0), length = x.dim(1), d = d_model();
  const Tensor all = table(offset + length), positions = Tensor::empty(x.shape(), x.dtype());
  const size_t size = static_cast<size_t>(length * d) * dtype_size(x.dtype());
  for (Index r = 0; r < rows; ++r) {
    std::memcpy(positions.raw() + static_cast<size_t>(r) * size,
                all.rows(offsets[static_cast<size_t>(r)], offsets[static_cast<size_t>(r)] + length).raw(), size);
  }
  CostScope scope(this);
  return scope.gives(add(x, positions));
}

std::string PositionalEncoding::extra_repr() const { return concat(d_model(), ", max_len=", max_len()); }

namespace {
void check_sizes(const char* layer, Index d_model, Index max_len) {
  if (d_model < 1) value_error(layer, ": d_model is ", d_model, " but must be 1 or more");
  if (max_len < 1) value_error(layer, ": max_len is ", max_len, " but must be 1 or more");
}
}  // namespace

SinusoidalPositionalEncoding::SinusoidalPositionalEncoding(Index d_model, Index max_len, DType dtype, bool halves)
    : d_model_(d_model), max_len_(max_len), dtype_(dtype), halves_(halves) {
  check_sizes("SinusoidalPositionalEncoding", d_model, max_len);
}

Tensor SinusoidalPositionalEncoding::table(Index length) const {
  const std::lock_guard lock(mutex_);
  if (!table_ || table_.dim(0) < length) {
    table_ = sinusoidal_table(std::min(max_len_, std::max<Index>(64, 2 * length)), d_model_, dtype_, halves_);
  }
  return table_;
}

LearnedPositionalEncoding::LearnedPositionalEncoding(Index d_model, Index max_len, DType dtype) {
  check_sizes("LearnedPositionalEncoding", d_model, max_len);
  make_parameter("weight", {max_len, d_model}, dtype);
  reset_own(generator());
}

void LearnedPositionalEncoding::reset_own(Generator& generator) {
  fill_normal(own_parameters()[0].second, 0, 0.02, generator);
}

}  // namespace attendo::nn
