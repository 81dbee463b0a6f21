#include "attention/packed.h"
#include "bindings/convert.h"

namespace attendo::bindings {

void bind_attention_packed(py::module_& m) {
  using Object = const py::object&;
  const auto none = py::none();
  m.def(
      "attention_packed",
      [none](Object q, Object k, Object v, Object offsets, Object k_offsets, bool causal, Object scale, Object dropout,
             Object generator, Object q_offset, Object softcap) {
        constexpr const char* kName = "attention_packed";
        Call call(kName, {q, k, v});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v");
        const Tensor starts = to_tensor(offsets, kName, "offsets", Want::kAny, Memory::kBorrow);
        Tensor k_starts;
        if (!k_offsets.is_none()) k_starts = to_tensor(k_offsets, kName, "k_offsets", Want::kAny, Memory::kBorrow);
        AttentionOptions options;
        options.causal = causal;
        if (!scale.is_none()) options.scale = number_arg(kName, "scale", scale);
        modification_arg(options, call, kName, softcap, nullptr, none);
        options.dropout = number_arg(kName, "dropout", dropout);
        options.generator = generator_arg(kName, generator);
        if (q_offset.is_none() || !has_length(q_offset)) {
          mask_arg(options, kName, py::none(), q_offset, 0, 0, 0, 0);  // the offset alone
        } else {
          mask_arg(options, kName, py::none(), q_offset, std::max<Index>(0, starts.size() - 1), 0, 0, 0);
        }
        return call.result(
            without_gil([&] { return attention_packed(tq, tk, tv, starts, k_starts, options, !q_offset.is_none()); }));
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("offsets"), py::arg("k_offsets") = none,
      py::arg("causal") = false, py::arg("scale") = none, py::arg("dropout") = 0.0, py::arg("generator") = none,
      py::arg("q_offset") = none, py::arg("softcap") = none);
}

}  // namespace attendo::bindings
