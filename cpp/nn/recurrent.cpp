#include "nn/recurrent.h"

#include "core/cost.h"
#include "ops/dropout.h"
#include "ops/gru.h"
#include "ops/lstm.h"
#include "ops/shape.h"

namespace attendo::nn {

Recurrent::Recurrent(const char* name, Index gates, const RecurrentOptions& options) : name_(name), o_(options) {
  const std::pair<const char*, Index> sizes[] = {
      {"input_size", o_.input_size}, {"hidden_size", o_.hidden_size}, {"num_layers", o_.num_layers}};
  for (const auto& [arg, value] : sizes) {
    if (value < 1) value_error(name, ": ", arg, " is ", value, " but must be 1 or more");
    constexpr Index kMost = Index{1} << 28;
    if (value > kMost) value_error(name, ": ", arg, " is ", value, " but must be ", kMost, " or less");
  }
  if (o_.num_layers > 10000) value_error(name, ": num_layers is ", o_.num_layers, " but must be 1 to 10000");
  if (!(o_.dropout >= 0 && o_.dropout < 1)) {
    value_error(name, ": dropout is ", o_.dropout, " but must be 0 or more and below 1");
  }
  const Index rows = gates * o_.hidden_size;
  for (Index layer = 0; layer < o_.num_layers; ++layer) {
    const Index in = layer == 0 ? o_.input_size : o_.hidden_size * (o_.bidirectional ? 2 : 1);
    for (const char* direction : {"", "_reverse"}) {
      if (*direction != 0 && !o_.bidirectional) continue;
      const std::string end = concat("_l", layer, direction);
      make_parameter("weight_ih" + end, {rows, in}, o_.dtype);
      make_parameter("weight_hh" + end, {rows, o_.hidden_size}, o_.dtype);
      if (!o_.bias) continue;
      make_parameter("bias_ih" + end, {rows}, o_.dtype);
      make_parameter("bias_hh" + end, {rows}, o_.dtype);
    }
  }
  Recurrent::reset_own(generator());
}

void Recurrent::reset_own(Generator& generator) {
  for (const auto& [name, value] : own_parameters()) init_uniform(value, o_.hidden_size, generator);
}

Tensor Recurrent::state_of(const char* name, const Tensor& states, Index batch, Index which) const {
  if (!states) return states;
  const Index layers = o_.num_layers * (o_.bidirectional ? 2 : 1);
  check_float(name_, name, states);
  check_shape(name_, name, states, {layers, batch, o_.hidden_size});
  if (layers == 1) return reshape(states, {batch, o_.hidden_size});
  return slice(states, {{which, which + 1, 1, true}, {0, batch, 1, false}, {0, o_.hidden_size, 1, false}});
}

RecurrentResult Recurrent::operator()(const Tensor& x, const Tensor& h_0, const Tensor& c_0, const Tensor& lengths) {
  CostScope scope(this);
  check_input(name_, "x", x, 3, o_.input_size, o_.dtype);
  const Index batch = x.dim(0);
  const Index per_direction = o_.bias ? 4 : 2;
  const Index directions = o_.bidirectional ? 2 : 1;
  RecurrentResult result;
  result.out = x;
  Tensors h_n, c_n;
  for (Index layer = 0; layer < o_.num_layers; ++layer) {
    Tensor in = result.out;
    if (layer > 0 && training() && o_.dropout > 0) in = dropout(in, o_.dropout, generator());
    Tensors outs;
    for (Index direction = 0; direction < directions; ++direction) {
      const Index which = layer * directions + direction;
      const auto* own = own_parameters().data() + which * per_direction;
      const Weights weights{own[0].second, own[1].second, o_.bias ? own[2].second : Tensor(),
                            o_.bias ? own[3].second : Tensor()};
      const RecurrentResult one = run(in, weights, state_of("h_0", h_0, batch, which),
                                      state_of("c_0", c_0, batch, which), lengths, direction == 1);
      outs.push_back(one.out);
      h_n.push_back(reshape(one.h_n, {1, batch, o_.hidden_size}));
      if (one.c_n) c_n.push_back(reshape(one.c_n, {1, batch, o_.hidden_size}));
    }
    result.out = directions == 1 ? outs[0] : concatenate(outs, 2);
  }
  if (!o_.return_sequences) {
    Tensors last;
    for (size_t i = h_n.size() - static_cast<size_t>(directions); i < h_n.size(); ++i) {
      last.push_back(reshape(h_n[i], {batch, o_.hidden_size}));
    }
    result.out = directions == 1 ? last[0] : concatenate(last, 1);
  }
  result.h_n = h_n.size() == 1 ? h_n[0] : concatenate(h_n, 0);
  if (!c_n.empty()) result.c_n = c_n.size() == 1 ? c_n[0] : concatenate(c_n, 0);
  scope.gives(result.out);
  return result;
}

Tensors Recurrent::forward(const Tensors& inputs) {
  return {(*this)(only_input(name_, inputs), Tensor(), Tensor(), Tensor()).out};
}

std::string Recurrent::extra_repr() const {
  return concat(o_.input_size, ", ", o_.hidden_size, o_.num_layers == 1 ? "" : concat(", num_layers=", o_.num_layers),
                o_.bias ? "" : ", bias=False", o_.dropout > 0 ? concat(", dropout=", o_.dropout) : "",
                o_.bidirectional ? ", bidirectional=True" : "", o_.return_sequences ? "" : ", return_sequences=False");
}

RecurrentResult LSTM::run(const Tensor& x, const Weights& w, const Tensor& h_0, const Tensor& c_0,
                          const Tensor& lengths, bool reverse) {
  const LstmResult y = lstm(x, w.ih, w.hh, w.bias_ih, w.bias_hh, h_0, c_0, lengths, reverse);
  return {y.out, y.h_n, y.c_n};
}

RecurrentResult GRU::run(const Tensor& x, const Weights& w, const Tensor& h_0, const Tensor&, const Tensor& lengths,
                         bool reverse) {
  const GruResult y = gru(x, w.ih, w.hh, w.bias_ih, w.bias_hh, h_0, lengths, reverse, reset_after_);
  return {y.out, y.h_n, Tensor()};
}

std::string GRU::extra_repr() const { return Recurrent::extra_repr() + (reset_after_ ? "" : ", reset_after=False"); }

}  // namespace attendo::nn
