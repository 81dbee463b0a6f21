// Convolution in groups of so few channels that a product of matrices has nothing to share: depthwise, above all
//
// An output row is a weighted sum of shifted input rows (kernels/taps.h). So that each shift is one contiguous run, a
// plane is copied with its padding and, for a stride s, with the columns of one remainder modulo s side by side:
//
//   forward    y[i, j]     = bias + Σ_t w[t] xp[offset_t + i·row + j],    t = (c, u, v)
//   dw         dw[t]       = Σ_ij dy[i, j] xp[offset_t + i·row + j]
//   dx         dx[a s + r] = Σ_{o, u: u·d mod s = r} w[o, u] dy[a - (u·d - r)/s],   each axis so: a sum of taps of dy
//
// d: dilation.  Howard et al. 2017, §3.1 (depthwise); Krizhevsky et al. 2012, §3.5 (groups).
#pragma once

#include <vector>

#include "core/memory.h"
#include "kernels/taps.h"
#include "ops/conv2d.h"

namespace attendo {

// Where a group's taps are in its copied planes.
struct Taps {
  Index row = 0;    // elements from a row to the next
  Index plane = 0;  // from a channel to the next
  std::vector<Index> offset;

  explicit Taps(const ConvShape& s) {
    const Index length = (columns(s) + s.w.stride - 1) / s.w.stride;
    row = s.w.stride * length;
    plane = rows(s) * row;
    for (Index c = 0; c < s.group_channels(); ++c) {
      for (Index u = 0; u < s.h.kernel; ++u) {
        for (Index v = 0; v < s.w.kernel; ++v) {
          const Index at = v * s.w.dilation;
          offset.push_back(c * plane + u * s.h.dilation * row + at % s.w.stride * length + at / s.w.stride);
        }
      }
    }
  }
  static Index rows(const ConvShape& s) { return (s.h.out - 1) * s.h.stride + s.h.reach(); }
  static Index columns(const ConvShape& s) { return (s.w.out - 1) * s.w.stride + s.w.reach(); }
};

// Few channels a group, and strides and padding for which the copies stay small.
inline bool is_depthwise(const ConvShape& s) {
  return s.groups > 1 && s.group_channels() * s.group_outputs() <= 16 && s.w.stride <= s.w.reach() &&
         Taps::rows(s) <= 2 * s.h.size + 64 && Taps::columns(s) <= 2 * s.w.size + 64;
}

template <typename T>
class Depthwise {
 public:
  explicit Depthwise(const ConvShape& s) : s_(s), taps_(s) {}

  Index work() const { return s_.group_outputs() * s_.patch() * s_.positions(); }  // of a group of an image

  void forward(T* y, const T* x, const T* weight, const T* bias, Index b, Index g) const {
    const Scratch<T> planes(static_cast<size_t>(s_.group_channels() * taps_.plane));
    copy_planes(planes.get(), x, b, g);
    for (Index k = 0; k < s_.group_outputs(); ++k) {
      const Index o = g * s_.group_outputs() + k;
      kernels::tap_kernels<T>().sum(y + (b * s_.outputs + o) * s_.positions(), s_.w.out,
                                    bias == nullptr ? T(0) : bias[o], planes.get(), s_.h.stride * taps_.row,
                                    weight + o * s_.patch(), taps_.offset.data(), s_.patch(), s_.h.out, s_.w.out);
    }
  }

  // d_weight += the sums of image b, group g.
  void backward_weight(double* d_weight, const T* d_y, const T* x, Index b, Index g) const {
    const Scratch<T> planes(static_cast<size_t>(s_.group_channels() * taps_.plane));
    copy_planes(planes.get(), x, b, g);
    for (Index k = 0; k < s_.group_outputs(); ++k) {
      const Index o = g * s_.group_outputs() + k;
      kernels::tap_kernels<T>().dot(d_weight + o * s_.patch(), d_y + (b * s_.outputs + o) * s_.positions(), s_.w.out,
                                    planes.get(), s_.h.stride * taps_.row, taps_.offset.data(), s_.patch(), s_.h.out,
                                    s_.w.out);
    }
  }

  void backward_x(T* d_x, const T* d_y, const T* weight, Index b, Index g) const {
    // Planes of dy, with as many zeros before and after as taps reach back and inputs lie behind the last window.
    const Index reach_h = (s_.h.reach() - 1) / s_.h.stride, reach_w = (s_.w.reach() - 1) / s_.w.stride;
    const Index rows = reach_h + 1 + (s_.h.size - 1 + s_.h.before) / s_.h.stride;
    const Index row = reach_w + 1 + (s_.w.size - 1 + s_.w.before) / s_.w.stride;
    const Scratch<T> planes(static_cast<size_t>(s_.group_outputs() * rows * row));
    std::fill_n(planes.get(), s_.group_outputs() * rows * row, T(0));
    for (Index k = 0; k < s_.group_outputs(); ++k) {
      const T* dy = d_y + (b * s_.outputs + g * s_.group_outputs() + k) * s_.positions();
      T* plane = planes.get() + k * rows * row;
      for (Index i = 0; i < std::min(s_.h.out, rows - reach_h); ++i) {
        std::copy_n(dy + i * s_.w.out, std::min(s_.w.out, row - reach_w), plane + (i + reach_h) * row + reach_w);
      }
    }
    const Scratch<T> part(static_cast<size_t>(s_.w.stride == 1 ? 0 : s_.h.size * s_.w.size));
    std::vector<T> weights;
    std::vector<Index> offset;
    for (Index c = 0; c < s_.group_channels(); ++c) {
      T* dx = d_x + (b * s_.channels + g * s_.group_channels() + c) * s_.h.size * s_.w.size;
      for (Index p = 0; p < std::min(s_.h.stride, s_.h.size); ++p) {
        for (Index q = 0; q < std::min(s_.w.stride, s_.w.size); ++q) {
          // The inputs (p + m·stride, q + n·stride): their remainders, and the a of the first.
          const Index r = (p + s_.h.before) % s_.h.stride, a = (p + s_.h.before) / s_.h.stride;
          const Index r_w = (q + s_.w.before) % s_.w.stride, a_w = (q + s_.w.before) / s_.w.stride;
          const Index height = (s_.h.size - p + s_.h.stride - 1) / s_.h.stride;
          const Index width = (s_.w.size - q + s_.w.stride - 1) / s_.w.stride;
          weights.clear(), offset.clear();
          for (Index k = 0; k < s_.group_outputs(); ++k) {
            const T* w = weight + ((g * s_.group_outputs() + k) * s_.group_channels() + c) * s_.h.kernel * s_.w.kernel;
            for (Index u = 0; u < s_.h.kernel; ++u) {
              if (u * s_.h.dilation % s_.h.stride != r) continue;
              for (Index v = 0; v < s_.w.kernel; ++v) {
                if (v * s_.w.dilation % s_.w.stride != r_w) continue;
                weights.push_back(w[u * s_.w.kernel + v]);
                offset.push_back((k * rows + reach_h + a - u * s_.h.dilation / s_.h.stride) * row + reach_w + a_w -
                                 v * s_.w.dilation / s_.w.stride);
              }
            }
          }
          const bool direct = s_.w.stride == 1;
          kernels::tap_kernels<T>().sum(
              direct ? dx + p * s_.w.size : part.get(), direct ? s_.h.stride * s_.w.size : width, T(0), planes.get(),
              row, weights.data(), offset.data(), static_cast<Index>(offset.size()), height, width);
          for (Index m = 0; !direct && m < height; ++m) {
            for (Index n = 0; n < width; ++n) {
              dx[(p + m * s_.h.stride) * s_.w.size + q + n * s_.w.stride] = part.get()[m * width + n];
            }
          }
        }
      }
    }
  }

 private:
  void copy_planes(T* planes, const T* x, Index b, Index g) const {
    const Index rows = Taps::rows(s_), length = taps_.row / s_.w.stride;
    for (Index c = 0; c < s_.group_channels(); ++c) {
      const T* plane = x + (b * s_.channels + g * s_.group_channels() + c) * s_.h.size * s_.w.size;
      for (Index i = 0; i < rows; ++i) {
        T* out = planes + c * taps_.plane + i * taps_.row;
        std::fill_n(out, taps_.row, T(0));
        const Index h = i - s_.h.before;
        if (h < 0 || h >= s_.h.size) continue;
        const T* in = plane + h * s_.w.size;
        for (Index r = 0; r < s_.w.stride; ++r, out += length) {
          // The columns j·stride + r of the padded row that lie in x.
          const Index start = s_.w.before - r,
                      end = std::min(length, (s_.w.size + start + s_.w.stride - 1) / s_.w.stride);
          const Index first = start <= 0 ? 0 : (start + s_.w.stride - 1) / s_.w.stride;
          for (Index j = first; j < end; ++j) out[j] = in[j * s_.w.stride - start];
        }
      }
    }
  }

  ConvShape s_;
  Taps taps_;
};

}  // namespace attendo
