// GRU: one layer in one direction
//
//   forward    r, z = σ(a_r), σ(a_z),   a = W x_t + b + U h_{t-1} + b'     (rows of r and z)
//              reset_after   n = tanh(W_n x_t + b_n + r ∘ (U_n h_{t-1} + b'_n))
//              otherwise     n = tanh(W_n x_t + b_n + U_n (r ∘ h_{t-1}) + b'_n)
//              h_t = (1 - z) ∘ n + z ∘ h_{t-1}
//   backward   da_n = dh ∘ (1 - z) ∘ (1 - n²),   da_z = dh ∘ (h_{t-1} - n) ∘ z (1 - z)
//              reset_after   du = da_n ∘ r,    da_r = da_n ∘ (U_n h_{t-1} + b'_n) ∘ r (1 - r)
//                            dh ← dh ∘ z + U_rzᵀ da_rz + U_nᵀ du
//              otherwise     dq = U_nᵀ da_n,   da_r = dq ∘ h_{t-1} ∘ r (1 - r)
//                            dh ← dh ∘ z + U_rzᵀ da_rz + dq ∘ r
//              dx_t = Wᵀ da,   dW = Σ_t da x_tᵀ,   db = Σ_t da;   dU, db' likewise with h_{t-1}, for n with du or r ∘ h_{t-1}
//
// x, dx: (B, S, in).  W: (3 H, in).  U: (3 H, H).  b, b': (3 H,).  h: (B, H).  The output holds all h_t: (B, S, H).
// Behind a sample's length its state stands still and the output is 0.
// Cho et al. 2014, eq. 5–8; article 004 §2.1, §5.3.
#include "ops/gru.h"

#include "core/grad.h"
#include "ops/activations.h"
#include "ops/linear.h"
#include "ops/recurrent.h"

namespace attendo {
namespace {

struct GruSaved {
  RecurrentSizes sizes;
  bool reset_after = true;
  Tensor x, weight_ih, weight_hh, bias_ih, bias_hh, h_0;
  Tensor gates;  // (B · S, 4 · padded) in walk order: r z n, and U_n h + b'_n or r ∘ h
  Tensor h;      // (B · S, padded): before each step
};

template <typename T>
void gru_forward(const GruResult& y, const GruSaved& saved) {
  const RecurrentSizes& s = saved.sizes;
  const Index p = s.padded;
  const Scratch<T> bias = pad_gates(data_or_none<T>(saved.bias_ih), 3, s, 1);
  const Scratch<T> other = pad_gates(data_or_none<T>(saved.bias_hh), 3, s, 1);
  for (Index j = 0; j < (saved.reset_after ? 2 : 3) * p; ++j) bias.get()[j] += other.get()[j];
  const Packed<T> w(pad_gates(saved.weight_ih.data<T>(), 3, s, s.in).get(), s.in, 3 * p, true);
  const Scratch<T> all = pad_gates(saved.weight_hh.data<T>(), 3, s, s.units);
  const Packed<T> u_rz(all.get(), s.units, 2 * p, true);
  const Packed<T> u_n(all.get() + 2 * p * s.units, s.units, p, true);
  RecurrentForward<T> f{};
  f.x = saved.x.data<T>(), f.bias = bias.get();
  f.h_0 = data_or_none<T>(saved.h_0);
  f.gates = data_or_none<T>(saved.gates), f.kept_h = data_or_none<T>(saved.h);
  f.out = y.out.data<T>(), f.h_n = y.h_n.data<T>();
  const auto& kernel = kernels::recurrent_kernels<T>();
  recurrent_forward(s, f, w, [&](const kernels::RecurrentStep<T>& step) {
    u_rz.multiply(step.rows, step.h, p, step.gates, step.gates_row, true);
    T* last = step.gates + 3 * p;
    if (saved.reset_after) {
      u_n.multiply(step.rows, step.h, p, last, step.gates_row, false, other.get() + 2 * p);
      kernel.gru(step);
    } else {
      kernel.gru_reset(step);
      u_n.multiply(step.rows, last, step.gates_row, step.gates + 2 * p, step.gates_row, true);
      kernel.gru_update(step);
    }
  });
}

template <typename T>
void gru_backward(const Tensors& d, const GruSaved& saved) {
  const RecurrentSizes& s = saved.sizes;
  const Index p = s.padded;
  const Index width = (saved.reset_after ? 4 : 3) * p;  // d of r z n, and of U_n h + b'_n
  const Scratch<T> d_gates(static_cast<size_t>(s.batch * s.length * width));
  const Scratch<T> sums(static_cast<size_t>(width));
  Tensor d_x, d_h_0;
  if (saved.x.requires_grad()) d_x = Tensor::empty(saved.x.shape(), saved.x.dtype());
  if (saved.h_0 && saved.h_0.requires_grad()) d_h_0 = Tensor::empty(saved.h_0.shape(), saved.x.dtype());
  {
    const Packed<T> w(pad_gates(saved.weight_ih.data<T>(), 3, s, s.in).get(), 3 * p, s.in, false);
    const Scratch<T> all = pad_gates(saved.weight_hh.data<T>(), 3, s, s.units);
    const Packed<T> u_rz(all.get(), 2 * p, s.units, false);
    const Packed<T> u_n(all.get() + 2 * p * s.units, p, s.units, false);
    RecurrentBackward<T> b{};
    b.d_out = data_or_none<T>(d[0]), b.d_h_n = data_or_none<T>(d[1]);
    b.gates = saved.gates.data<T>(), b.kept_h = saved.h.data<T>();
    b.d_gates = d_gates.get(), b.d_width = width, b.d_bias = sums.get();
    b.d_x = data_or_none<T>(d_x), b.d_h_0 = data_or_none<T>(d_h_0);
    const auto& kernel = kernels::recurrent_kernels<T>();
    recurrent_backward(s, b, &w, [&](kernels::RecurrentStepBackward<T>& step) {
      if (saved.reset_after) {
        kernel.gru_backward(step);
        u_n.multiply(step.rows, step.d_gates + 3 * p, step.d_gates_row, step.d_h, p, true);
      } else {
        kernel.gru_update_backward(step);
        T* d_reset = step.d_c;  // a GRU has no cell: its place is free
        std::fill_n(d_reset, step.rows * p, T(0));
        u_n.multiply(step.rows, step.d_gates + 2 * p, step.d_gates_row, d_reset, p, true);
        step.d_reset = d_reset;
        kernel.gru_reset_backward(step);
      }
      u_rz.multiply(step.rows, step.d_gates, step.d_gates_row, step.d_h, p, true);
    });
  }
  accumulate(saved.x, d_x);
  accumulate(saved.h_0, d_h_0);
  if (saved.weight_ih.requires_grad()) {
    const GradTarget target = grad_target(saved.weight_ih);
    const Scratch<T> x = ordered_inputs<T>(saved.x, s);
    recurrent_weight_gradient(s, target.buffer.data<T>(), target.add, d_gates.get(), width, 3, x.get(), s.in, s.in);
  }
  const Index last = (saved.reset_after ? 3 : 2) * p;  // the gradient that goes with U_n
  if (saved.weight_hh.requires_grad()) {
    const GradTarget target = grad_target(saved.weight_hh);
    T* d_u = target.buffer.data<T>();
    recurrent_weight_gradient(s, d_u, target.add, d_gates.get(), width, 2, saved.h.data<T>(), p, s.units);
    d_u += 2 * s.units * s.units;
    if (saved.reset_after) {
      recurrent_weight_gradient(s, d_u, target.add, d_gates.get() + last, width, 1, saved.h.data<T>(), p, s.units);
    } else {
      recurrent_weight_gradient(s, d_u, target.add, d_gates.get() + last, width, 1, saved.gates.data<T>() + 3 * p,
                                4 * p, s.units);
    }
  }
  if (!needs_bias_gradient(saved.bias_ih) && !needs_bias_gradient(saved.bias_hh)) return;
  const std::pair<Tensor, Index> biases[] = {{saved.bias_ih, 2 * p}, {saved.bias_hh, last}};
  for (const auto& [bias, of_n] : biases) {
    if (!needs_bias_gradient(bias)) continue;
    const GradTarget target = grad_target(bias);
    for (Index g = 0; g < 3; ++g) add_bias_gradient(target, g, sums.get() + (g == 2 ? of_n : g * p), s);
  }
}

// In differentiable operations; p: x, W, U, b, b', h_0.
Tensors expanded(const Tensors& p, const RecurrentSizes& s, bool reset_after) {
  const Index n = s.units;
  // b and b' of gates first … last - 1, which may be undefined
  auto part = [n](const Tensor& all, Index first, Index last) {
    return all ? take(all, 0, first * n, last * n) : Tensor();
  };
  return recurrent_expanded(s, p[0], {p[5]}, [&](const Tensor& x, const Tensors& states) -> Tensors {
    const Tensor& h = states[0];
    const Tensor a = linear(x, p[1], p[3]);
    const Tensor rz = add(take(a, 1, 0, 2 * n), linear(h, part(p[2], 0, 2), part(p[4], 0, 2)));
    const Tensor r = sigmoid(take(rz, 1, 0, n)), z = sigmoid(take(rz, 1, n, 2 * n));
    const Tensor u = part(p[2], 2, 3), b = part(p[4], 2, 3);
    const Tensor past = reset_after ? multiply(r, linear(h, u, b)) : linear(multiply(r, h), u, b);
    const Tensor fresh = tanh(add(take(a, 1, 2 * n, 3 * n), past));
    return {add(fresh, multiply(z, subtract(h, fresh)))};
  });
}

}  // namespace

GruResult gru(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias_ih,
              const Tensor& bias_hh, const Tensor& h_0, const Tensor& lengths, bool reverse, bool reset_after) {
  GruSaved saved;
  saved.sizes = recurrent_sizes("gru", 3, x, weight_ih, weight_hh, bias_ih, bias_hh, lengths, reverse);
  RecurrentSizes& s = saved.sizes;
  check_state("gru", "h_0", h_0, x, s.units);
  saved.reset_after = reset_after;
  saved.x = x, saved.weight_ih = weight_ih, saved.weight_hh = weight_hh;
  saved.bias_ih = bias_ih, saved.bias_hh = bias_hh, saved.h_0 = h_0;
  s.kept = 4;
  const bool tracked = needs_grad({&x, &weight_ih, &weight_hh, &bias_ih, &bias_hh, &h_0});
  GruResult y;
  y.out = Tensor::empty({s.batch, s.length, s.units}, x.dtype());
  y.h_n = Tensor::empty({s.batch, s.units}, x.dtype());
  dispatch_float("gru", "x", x, [&](auto zero) {
    using T = decltype(zero);
    set_padding<T>(s);
    if (tracked) {
      saved.gates = Tensor::empty({s.batch * s.length, 4 * s.padded}, x.dtype());
      saved.h = Tensor::empty({s.batch * s.length, s.padded}, x.dtype());
    }
    gru_forward<T>(y, saved);
  });
  if (!tracked) return y;
  record("gru", {x, weight_ih, weight_hh, bias_ih, bias_hh, h_0}, {y.out, y.h_n}, Twice::kYes,
         [saved = std::move(saved)](const Tensors& d) {
           if (grad_enabled()) {
             const GruSaved& v = saved;
             return accumulate_through({v.x, v.weight_ih, v.weight_hh, v.bias_ih, v.bias_hh, v.h_0}, d,
                                       [&v](const Tensors& p) { return expanded(p, v.sizes, v.reset_after); });
           }
           dispatch_float("gru", "x", saved.x, [&](auto zero) { gru_backward<decltype(zero)>(d, saved); });
         });
  return y;
}

}  // namespace attendo
