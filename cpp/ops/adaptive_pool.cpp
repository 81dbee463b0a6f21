// Pooling to a given size, whatever the size of the input
//
//   forward    y[b, c, i, j] = mean or max of x[b, c, h, w] over   ⌊i·H / n⌋ <= h < ⌈(i + 1)·H / n⌉,  w alike
//   backward   mean: dx at every entry of a part += dy / its entries;   max: dx at the (first) maximum += dy
//
// x: (B, C, L) or (B, C, H, W), n: outputs on the axis.  n = 1 pools all there is.   He et al. 2014, §2.2; Lin et al. 2014,
// §3.2 (global average pooling).
#include "ops/adaptive_pool.h"

#include "ops/avg_pool.h"
#include "ops/max_pool.h"

namespace attendo {
namespace {

using Pool = Tensor (*)(const char* name, const Tensor& x, const PoolAxis& h, const PoolAxis& w, const Shape& shape);

PoolAxis part_axis(const char* op, Index size, Index out) {
  if (out != kKeepSize) check_size(op, "output_size", out, 1);
  PoolAxis p;
  p.adaptive = true;
  p.axis.size = size;
  p.axis.out = out == kKeepSize ? size : out;
  return p;
}

Tensor pool_1d(const char* op, Pool pool, const Tensor& x, Index length) {
  check_pool_input(op, x, 3, "(B, C, L)");
  const PoolAxis w = part_axis(op, x.dim(2), length);
  return pool(op, x, PoolAxis(), w, {x.dim(0), x.dim(1), w.axis.out});
}

Tensor pool_2d(const char* op, Pool pool, const Tensor& x, Index height, Index width) {
  check_pool_input(op, x, 4, "(B, C, H, W)");
  const PoolAxis h = part_axis(op, x.dim(2), height), w = part_axis(op, x.dim(3), width);
  return pool(op, x, h, w, {x.dim(0), x.dim(1), h.axis.out, w.axis.out});
}

}  // namespace

Tensor adaptive_avg_pool1d(const Tensor& x, Index length) {
  return pool_1d("adaptive_avg_pool1d", mean_over, x, length);
}
Tensor adaptive_avg_pool2d(const Tensor& x, Index height, Index width) {
  return pool_2d("adaptive_avg_pool2d", mean_over, x, height, width);
}
Tensor adaptive_max_pool1d(const Tensor& x, Index length) {
  return pool_1d("adaptive_max_pool1d", max_over, x, length);
}
Tensor adaptive_max_pool2d(const Tensor& x, Index height, Index width) {
  return pool_2d("adaptive_max_pool2d", max_over, x, height, width);
}

}  // namespace attendo
