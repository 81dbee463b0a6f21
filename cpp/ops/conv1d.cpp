// Convolution of sequences
//
//   forward    y[b, o, i]  = bias_o + Σ_{c, u} x[b, c, i·s + u·d - p] w[o, c, u]
//   backward   dw[o, c, u] = Σ_{b, i} dy[b, o, i] x[b, c, i·s + u·d - p]
//              dx[b, c, l] = Σ_{o, (i,u): i·s+u·d-p=l} dy[b, o, i] w[o, c, u],   dbias_o = Σ_{b, i} dy[b, o, i]
//
// That of images of height 1 (conv2d.cpp).
// s: stride.  p: padding with zeros.  d: dilation.   Waibel et al. 1989 (time delay); van den Oord et al. 2016, §2.1.
#include "ops/conv1d.h"

#include "ops/conv2d.h"

namespace attendo {

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, Window window, Index groups) {
  check_float("conv1d", "x", x);
  check_float("conv1d", "weight", weight);
  check_rank("conv1d", "x", x, 3, "(B, C, L)");
  check_rank("conv1d", "weight", weight, 3, "(O, C/groups, k)");
  ConvShape s = check_channels("conv1d", x, weight, bias, groups);
  window.kernel = weight.dim(2);
  check_window("conv1d", window);
  s.w = place_window("conv1d", "weight's kernel", "length", window, x.dim(2));
  return convolution("conv1d", x, weight, bias, s, {s.batch, s.outputs, s.w.out});
}

}  // namespace attendo
