#include "attention/attention_stats.h"
#include "bindings/convert.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;

AttentionOptions score_options(Call& call, const char* op, const Tensor& q, const Tensor& k, Object mask, Object bias,
                               Object scale, Object q_offset, Object softcap, const ScoreProgramPtr& score_mod) {
  check_min_rank(op, "q", q, 2, "(..., length, features)");
  check_min_rank(op, "k", k, 2, "(..., length, features)");
  AttentionOptions options;
  if (!scale.is_none()) options.scale = number_arg(op, "scale", scale);
  options.bias = call.optional_tensor(bias, "bias");
  modification_arg(options, call, op, softcap, score_mod, py::none());
  const int rank = q.rank();
  mask_arg(options, op, mask, q_offset, q.shape().product(0, std::max(0, rank - 3)), rank >= 3 ? q.dim(-3) : 1,
           q.dim(-2), k.dim(-2));
  return options;
}

}  // namespace

void bind_attention_stats(py::module_& m) {
  const auto none = py::none();
  m.def(
      "attention_stats",
      [](Object q, Object k, Object v, Object mask, Object bias, Object scale, Object q_offset, Object top_k,
         Object softcap, const ScoreProgramPtr& score_mod) {
        constexpr const char* kName = "attention_stats";
        Call call(kName, {q, k, v, bias});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.optional_tensor(v, "v");
        const AttentionOptions options =
            score_options(call, kName, tq, tk, mask, bias, scale, q_offset, softcap, score_mod);
        const Index top = index_arg(kName, "top_k", top_k);
        Tensor out;
        const AttentionStats s = without_gil([&] {
          const NoGrad no_grad;
          const AttentionStats stats = attention_stats(tq, tk, options, top);
          if (tv) {
            renaming_errors("attention", kName, [&] { out = scaled_dot_product(tq, tk, tv, options, false).out; });
          }
          return stats;
        });
        const py::object values = out ? py::object(to_numpy(out, true)) : py::none();
        return py::make_tuple(to_numpy(s.entropy, true), to_numpy(s.maximum, true), to_numpy(s.lse, true),
                              to_numpy(s.top_keys, true), to_numpy(s.top_weights, true), values);
      },
      py::arg("q"), py::arg("k"), py::arg("v") = none, py::arg("mask") = none, py::arg("bias") = none,
      py::arg("scale") = none, py::arg("q_offset") = none, py::arg("top_k") = 5, py::arg("softcap") = none,
      py::arg("score_mod") = none);
  m.def(
      "attention_row_weights",
      [](Object q, Object k, Object rows, Object mask, Object bias, Object scale, Object q_offset, Object softcap,
         const ScoreProgramPtr& score_mod) -> py::object {
        constexpr const char* kName = "attention_row_weights";
        Call call(kName, {q, k, bias});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k");
        const AttentionOptions options =
            score_options(call, kName, tq, tk, mask, bias, scale, q_offset, softcap, score_mod);
        const Tensor chosen = to_tensor(rows, kName, "rows", Want::kAny, Memory::kBorrow);
        if (chosen.dtype() != DType::kInt64) {
          type_error(kName, ": rows has dtype ", dtype_name(chosen.dtype()), " but must be integers");
        }
        if (chosen.rank() > 1)
          value_error(kName, ": rows has shape ", chosen.shape(), " but must be one row or a list");
        const auto* first = chosen.data<std::int64_t>();
        const std::vector<Index> wanted(first, first + chosen.size());
        Tensor weights = without_gil([&] {
          const NoGrad no_grad;
          return attention_row_weights(tq, tk, wanted, options);
        });
        if (chosen.rank() == 0) {
          Shape shape = weights.shape();
          shape.erase(shape.rank() - 2);
          weights = weights.view(shape);
        }
        return to_numpy(weights, true);
      },
      py::arg("q"), py::arg("k"), py::arg("rows"), py::arg("mask") = none, py::arg("bias") = none,
      py::arg("scale") = none, py::arg("q_offset") = none, py::arg("softcap") = none, py::arg("score_mod") = none);
}

}  // namespace attendo::bindings
