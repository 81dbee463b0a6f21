#include "bindings/convert.h"
#include "nn/recurrent.h"
#include "ops/gru.h"
#include "ops/lstm.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;

void bind_functions(py::module_& m) {
  const auto none = py::none();
  m.def(
      "lstm",
      [](Object x, Object weight_ih, Object weight_hh, Object bias_ih, Object bias_hh, Object h_0, Object c_0,
         Object lengths, bool reverse) {
        const Call call("lstm", {x, weight_ih, weight_hh, bias_ih, bias_hh, h_0, c_0});
        const Tensor in = call.tensor(x, "x"), w = call.tensor(weight_ih, "weight_ih"),
                     u = call.tensor(weight_hh, "weight_hh"), b = call.optional_tensor(bias_ih, "bias_ih"),
                     b2 = call.optional_tensor(bias_hh, "bias_hh"), h = call.optional_tensor(h_0, "h_0"),
                     c = call.optional_tensor(c_0, "c_0"), n = call.optional_tensor(lengths, "lengths", Want::kAny);
        const LstmResult y = without_gil([&] { return lstm(in, w, u, b, b2, h, c, n, reverse); });
        return py::make_tuple(call.result(y.out), call.result(y.h_n), call.result(y.c_n));
      },
      py::arg("x"), py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih") = none, py::arg("bias_hh") = none,
      py::arg("h_0") = none, py::arg("c_0") = none, py::arg("lengths") = none, py::arg("reverse") = false);
  m.def(
      "gru",
      [](Object x, Object weight_ih, Object weight_hh, Object bias_ih, Object bias_hh, Object h_0, Object lengths,
         bool reverse, bool reset_after) {
        const Call call("gru", {x, weight_ih, weight_hh, bias_ih, bias_hh, h_0});
        const Tensor in = call.tensor(x, "x"), w = call.tensor(weight_ih, "weight_ih"),
                     u = call.tensor(weight_hh, "weight_hh"), b = call.optional_tensor(bias_ih, "bias_ih"),
                     b2 = call.optional_tensor(bias_hh, "bias_hh"), h = call.optional_tensor(h_0, "h_0"),
                     n = call.optional_tensor(lengths, "lengths", Want::kAny);
        const GruResult y = without_gil([&] { return gru(in, w, u, b, b2, h, n, reverse, reset_after); });
        return py::make_tuple(call.result(y.out), call.result(y.h_n));
      },
      py::arg("x"), py::arg("weight_ih"), py::arg("weight_hh"), py::arg("bias_ih") = none, py::arg("bias_hh") = none,
      py::arg("h_0") = none, py::arg("lengths") = none, py::arg("reverse") = false, py::arg("reset_after") = true);
}

nn::RecurrentOptions options_of(const char* op, Object input_size, Object hidden_size, Object num_layers, bool bias,
                                Object dropout, bool bidirectional, bool return_sequences, Object dtype) {
  return {index_arg(op, "input_size", input_size),
          index_arg(op, "hidden_size", hidden_size),
          index_arg(op, "num_layers", num_layers),
          bias,
          number_arg(op, "dropout", dropout),
          bidirectional,
          dtype_arg(op, dtype),
          return_sequences};
}

Tensor optional(const char* op, const char* arg, Object x, Want want) {
  return x.is_none() ? Tensor() : to_tensor(x, op, arg, want, Memory::kCopy);
}

}  // namespace

void bind_recurrent(py::module_& m) {
  bind_functions(m);
  const auto none = py::none();
  py::classh<nn::LSTM, nn::Module, PyLayer<nn::LSTM>>(m, "LSTM", "Long short-term memory.", collectable())
      .def(layer_init<nn::LSTM>(+[](Object in, Object hidden, Object layers, bool bias, Object dropout,
                                    bool bidirectional, bool return_sequences, Object dtype, Object seed) {
             return Made{std::tuple(options_of("LSTM", in, hidden, layers, bias, dropout, bidirectional,
                                               return_sequences, dtype)),
                         seed_arg("LSTM", seed)};
           }),
           py::arg("input_size"), py::arg("hidden_size"), py::arg("num_layers") = 1, py::arg("bias") = true,
           py::kw_only(), py::arg("dropout") = 0.0, py::arg("bidirectional") = false,
           py::arg("return_sequences") = true, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def(
          "forward",
          [](nn::LSTM& self, Object x, Object state, Object lengths) {
            const Tensor in = to_tensor(x, "LSTM", "x", Want::kFloat, Memory::kCopy);
            const Tensor n = optional("LSTM", "lengths", lengths, Want::kAny);
            Tensor h, c;
            if (!state.is_none()) {
              if ((!py::isinstance<py::tuple>(state) && !py::isinstance<py::list>(state)) || py::len(state) != 2) {
                type_error("LSTM: state is a ", py::cast<std::string>(py::type::of(state).attr("__name__")),
                           " but must be a pair (h_0, c_0)");
              }
              const auto pair = py::reinterpret_borrow<py::sequence>(state);
              h = to_tensor(py::object(pair[0]), "LSTM", "h_0", Want::kFloat, Memory::kCopy);
              c = to_tensor(py::object(pair[1]), "LSTM", "c_0", Want::kFloat, Memory::kCopy);
            }
            const nn::RecurrentResult y = without_gil([&] { return self(in, h, c, n); });
            return py::make_tuple(y.out, py::make_tuple(y.h_n, y.c_n));
          },
          py::arg("x"), py::arg("state") = none, py::kw_only(), py::arg("lengths") = none);
  py::classh<nn::GRU, nn::Module, PyLayer<nn::GRU>>(m, "GRU", "Gated recurrent unit.", collectable())
      .def(
          layer_init<nn::GRU>(+[](Object in, Object hidden, Object layers, bool bias, Object dropout,
                                  bool bidirectional, bool return_sequences, bool reset_after, Object dtype,
                                  Object seed) {
            return Made{
                std::tuple(options_of("GRU", in, hidden, layers, bias, dropout, bidirectional, return_sequences, dtype),
                           reset_after),
                seed_arg("GRU", seed)};
          }),
          py::arg("input_size"), py::arg("hidden_size"), py::arg("num_layers") = 1, py::arg("bias") = true,
          py::kw_only(), py::arg("dropout") = 0.0, py::arg("bidirectional") = false, py::arg("return_sequences") = true,
          py::arg("reset_after") = true, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def(
          "forward",
          [](nn::GRU& self, Object x, Object state, Object lengths) {
            const Tensor in = to_tensor(x, "GRU", "x", Want::kFloat, Memory::kCopy);
            const Tensor n = optional("GRU", "lengths", lengths, Want::kAny);
            const Tensor h = optional("GRU", "h_0", state, Want::kFloat);
            const nn::RecurrentResult y = without_gil([&] { return self(in, h, Tensor(), n); });
            return py::make_tuple(y.out, y.h_n);
          },
          py::arg("x"), py::arg("state") = none, py::kw_only(), py::arg("lengths") = none);
}

}  // namespace attendo::bindings
