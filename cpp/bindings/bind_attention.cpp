#include "attention/scaled_dot_product.h"
#include "bindings/convert.h"

namespace attendo::bindings {

void modification_arg(AttentionOptions& options, Call& call, const char* op, py::handle softcap,
                      const ScoreProgramPtr& score_mod, py::handle sinks) {
  if (!softcap.is_none()) {
    options.softcap = number_arg(op, "softcap", softcap);
    if (!(options.softcap > 0)) {
      value_error(op, ": softcap is ", options.softcap, " but must be above 0; None caps nothing");
    }
  }
  options.program = score_mod;
  if (score_mod != nullptr) {
    for (const auto& table : score_mod->tables()) {
      if (table.values.requires_grad()) call.track();
    }
  }
  options.sinks = call.optional_tensor(py::reinterpret_borrow<py::object>(sinks), "sinks");
}

void bind_attention(py::module_& m) {
  using Object = const py::object&;
  m.def(
      "attention",
      [](Object q, Object k, Object v, Object mask, Object bias, Object scale, Object dropout, Object generator,
         Object q_offset, bool return_weights, Object softcap, const std::shared_ptr<ScoreProgram>& score_mod,
         Object sinks) -> py::object {
        Call call("attention", {q, k, v, bias, sinks});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v");
        for (const auto& [name, x] : {std::pair{"q", &tq}, std::pair{"k", &tk}, std::pair{"v", &tv}}) {
          check_min_rank("attention", name, *x, 2, "(..., length, features)");
        }
        AttentionOptions options;
        if (!scale.is_none()) options.scale = number_arg("attention", "scale", scale);
        options.bias = call.optional_tensor(bias, "bias");
        modification_arg(options, call, "attention", softcap, score_mod, sinks);
        options.dropout = number_arg("attention", "dropout", dropout);
        options.generator = generator_arg("attention", generator);
        const int rank = tq.rank();
        mask_arg(options, "attention", mask, q_offset, tq.shape().product(0, std::max(0, rank - 3)),
                 rank >= 3 ? tq.dim(-3) : 1, tq.dim(-2), tk.dim(-2));
        const AttentionResult result =
            without_gil([&] { return scaled_dot_product(tq, tk, tv, options, return_weights); });
        if (!return_weights) return call.result(result.out);
        return py::make_tuple(call.result(result.out), call.result(result.weights));
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("mask") = py::none(), py::arg("bias") = py::none(),
      py::arg("scale") = py::none(), py::arg("dropout") = 0.0, py::arg("generator") = py::none(),
      py::arg("q_offset") = py::none(), py::arg("return_weights") = false, py::arg("softcap") = py::none(),
      py::arg("score_mod") = py::none(), py::arg("sinks") = py::none());
}

}  // namespace attendo::bindings
