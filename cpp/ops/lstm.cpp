// LSTM: one layer in one direction
//
//   forward    i, f, o = σ(a_i), σ(a_f), σ(a_o),   g = tanh(a_g),   a = W x_t + b + U h_{t-1} + b'
//              c_t = f ∘ c_{t-1} + i ∘ g,   h_t = o ∘ tanh(c_t)
//   backward   dc += dh ∘ o ∘ (1 - tanh²(c_t))
//              da_i = dc ∘ g ∘ i (1 - i),   da_f = dc ∘ c_{t-1} ∘ f (1 - f),   da_g = dc ∘ i ∘ (1 - g²)
//              da_o = dh ∘ tanh(c_t) ∘ o (1 - o),   dc ← dc ∘ f,   dh ← Uᵀ da,   dx_t = Wᵀ da
//              dW = Σ_t da x_tᵀ,   dU = Σ_t da h_{t-1}ᵀ,   db = db' = Σ_t da
//
// x, dx: (B, S, in).  W: (4 H, in).  U: (4 H, H).  b, b': (4 H,).  h, c: (B, H).  The output holds all h_t: (B, S, H).
// Behind a sample's length its states stand still and the output is 0.
// Hochreiter and Schmidhuber 1997; Gers et al. 2000; article 004 §2.1, §5.3.
#include "ops/lstm.h"

#include "core/grad.h"
#include "ops/activations.h"
#include "ops/linear.h"
#include "ops/recurrent.h"

namespace attendo {
namespace {

struct LstmSaved {
  RecurrentSizes sizes;
  Tensor x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0;
  Tensor gates;  // (B · S, 4 · padded) in walk order: i f g o
  Tensor h, c;   // (B · S, padded): before each step
};

template <typename T>
void lstm_forward(const LstmResult& y, const LstmSaved& saved) {
  const RecurrentSizes& s = saved.sizes;
  const Index width = 4 * s.padded;
  const Scratch<T> bias = pad_gates(data_or_none<T>(saved.bias_ih), 4, s, 1);
  const Scratch<T> other = pad_gates(data_or_none<T>(saved.bias_hh), 4, s, 1);
  for (Index j = 0; j < width; ++j) bias.get()[j] += other.get()[j];
  const Packed<T> w(pad_gates(saved.weight_ih.data<T>(), 4, s, s.in).get(), s.in, width, true);
  const Packed<T> u(pad_gates(saved.weight_hh.data<T>(), 4, s, s.units).get(), s.units, width, true);
  RecurrentForward<T> f{};
  f.x = saved.x.data<T>(), f.bias = bias.get();
  f.h_0 = data_or_none<T>(saved.h_0), f.c_0 = data_or_none<T>(saved.c_0);
  f.gates = data_or_none<T>(saved.gates);
  f.kept_h = data_or_none<T>(saved.h), f.kept_c = data_or_none<T>(saved.c);
  f.out = y.out.data<T>(), f.h_n = y.h_n.data<T>(), f.c_n = y.c_n.data<T>();
  f.cell = true;
  recurrent_forward(s, f, w, [&](const kernels::RecurrentStep<T>& step) {
    u.multiply(step.rows, step.h, s.padded, step.gates, step.gates_row, true);
    kernels::recurrent_kernels<T>().lstm(step);
  });
}

template <typename T>
void lstm_backward(const Tensors& d, const LstmSaved& saved) {
  const RecurrentSizes& s = saved.sizes;
  const Index width = 4 * s.padded;
  const Scratch<T> d_gates(static_cast<size_t>(s.batch * s.length * width));
  const Scratch<T> sums(static_cast<size_t>(width));
  Tensor d_x, d_h_0, d_c_0;
  if (saved.x.requires_grad()) d_x = Tensor::empty(saved.x.shape(), saved.x.dtype());
  if (saved.h_0 && saved.h_0.requires_grad()) d_h_0 = Tensor::empty(saved.h_0.shape(), saved.x.dtype());
  if (saved.c_0 && saved.c_0.requires_grad()) d_c_0 = Tensor::empty(saved.c_0.shape(), saved.x.dtype());
  {
    const Packed<T> w(pad_gates(saved.weight_ih.data<T>(), 4, s, s.in).get(), width, s.in, false);
    const Packed<T> u(pad_gates(saved.weight_hh.data<T>(), 4, s, s.units).get(), width, s.units, false);
    RecurrentBackward<T> b{};
    b.d_out = data_or_none<T>(d[0]), b.d_h_n = data_or_none<T>(d[1]), b.d_c_n = data_or_none<T>(d[2]);
    b.gates = saved.gates.data<T>(), b.kept_c = saved.c.data<T>();
    b.d_gates = d_gates.get(), b.d_width = width, b.d_bias = sums.get();
    b.d_x = data_or_none<T>(d_x), b.d_h_0 = data_or_none<T>(d_h_0), b.d_c_0 = data_or_none<T>(d_c_0);
    recurrent_backward(s, b, &w, [&](const kernels::RecurrentStepBackward<T>& step) {
      kernels::recurrent_kernels<T>().lstm_backward(step);
      u.multiply(step.rows, step.d_gates, step.d_gates_row, step.d_h, s.padded, true);
    });
  }
  accumulate(saved.x, d_x);
  accumulate(saved.h_0, d_h_0);
  accumulate(saved.c_0, d_c_0);
  if (saved.weight_ih.requires_grad()) {
    const GradTarget target = grad_target(saved.weight_ih);
    const Scratch<T> x = ordered_inputs<T>(saved.x, s);
    recurrent_weight_gradient(s, target.buffer.data<T>(), target.add, d_gates.get(), width, 4, x.get(), s.in, s.in);
  }
  if (saved.weight_hh.requires_grad()) {
    const GradTarget target = grad_target(saved.weight_hh);
    recurrent_weight_gradient(s, target.buffer.data<T>(), target.add, d_gates.get(), width, 4, saved.h.data<T>(),
                              s.padded, s.units);
  }
  if (!needs_bias_gradient(saved.bias_ih) && !needs_bias_gradient(saved.bias_hh)) return;
  for (const Tensor& bias : {saved.bias_ih, saved.bias_hh}) {
    if (!needs_bias_gradient(bias)) continue;
    const GradTarget target = grad_target(bias);
    for (Index g = 0; g < 4; ++g) add_bias_gradient(target, g, sums.get() + g * s.padded, s);
  }
}

// In differentiable operations; p: x, W, U, b, b', h_0, c_0.
Tensors expanded(const Tensors& p, const RecurrentSizes& s) {
  const Index n = s.units;
  return recurrent_expanded(s, p[0], {p[5], p[6]}, [&](const Tensor& x, const Tensors& states) -> Tensors {
    const Tensor a = add(linear(x, p[1], p[3]), linear(states[0], p[2], p[4]));
    auto gate = [&](Index g) { return take(a, 1, g * n, (g + 1) * n); };
    const Tensor c = add(multiply(sigmoid(gate(1)), states[1]), multiply(sigmoid(gate(0)), tanh(gate(2))));
    return {multiply(sigmoid(gate(3)), tanh(c)), c};
  });
}

}  // namespace

LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias_ih,
                const Tensor& bias_hh, const Tensor& h_0, const Tensor& c_0, const Tensor& lengths, bool reverse) {
  LstmSaved saved;
  saved.sizes = recurrent_sizes("lstm", 4, x, weight_ih, weight_hh, bias_ih, bias_hh, lengths, reverse);
  RecurrentSizes& s = saved.sizes;
  check_state("lstm", "h_0", h_0, x, s.units);
  check_state("lstm", "c_0", c_0, x, s.units);
  saved.x = x, saved.weight_ih = weight_ih, saved.weight_hh = weight_hh;
  saved.bias_ih = bias_ih, saved.bias_hh = bias_hh, saved.h_0 = h_0, saved.c_0 = c_0;
  s.kept = 4;
  const bool tracked = needs_grad({&x, &weight_ih, &weight_hh, &bias_ih, &bias_hh, &h_0, &c_0});
  LstmResult y;
  y.out = Tensor::empty({s.batch, s.length, s.units}, x.dtype());
  y.h_n = Tensor::empty({s.batch, s.units}, x.dtype());
  y.c_n = Tensor::empty({s.batch, s.units}, x.dtype());
  dispatch_float("lstm", "x", x, [&](auto zero) {
    using T = decltype(zero);
    set_padding<T>(s);
    if (tracked) {
      saved.gates = Tensor::empty({s.batch * s.length, 4 * s.padded}, x.dtype());
      saved.h = Tensor::empty({s.batch * s.length, s.padded}, x.dtype());
      saved.c = Tensor::empty({s.batch * s.length, s.padded}, x.dtype());
    }
    lstm_forward<T>(y, saved);
  });
  if (!tracked) return y;
  record("lstm", {x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0}, {y.out, y.h_n, y.c_n}, Twice::kYes,
         [saved = std::move(saved)](const Tensors& d) {
           if (grad_enabled()) {
             const LstmSaved& v = saved;
             return accumulate_through({v.x, v.weight_ih, v.weight_hh, v.bias_ih, v.bias_hh, v.h_0, v.c_0}, d,
                                       [&v](const Tensors& p) { return expanded(p, v.sizes); });
           }
           dispatch_float("lstm", "x", saved.x, [&](auto zero) { lstm_backward<decltype(zero)>(d, saved); });
         });
  return y;
}

}  // namespace attendo
