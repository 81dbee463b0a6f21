#include "attention/linear_attention.h"
#include "attention/performer.h"
#include "bindings/convert.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;

// The one of `names` that `value` is.
Index choice_arg(const char* op, const char* arg, Object value, const std::vector<const char*>& names) {
  std::string all;
  for (size_t i = 0; i < names.size(); ++i) {
    if (value.equal(py::str(names[i]))) return static_cast<Index>(i);
    all += concat(i == 0 ? "" : i + 1 == names.size() ? " or " : ", ", "'", names[i], "'");
  }
  const std::string message = concat(op, ": ", arg, " is ", std::string(py::repr(value)), " but must be ", all);
  if (PyUnicode_Check(value.ptr()) == 0) throw TypeError(message);
  throw ValueError(message);
}

// What a mask amounts to where the weights are never formed; any other mask is refused.
AttentionOptions mask_of(const char* op, Object mask, const Tensor& q, const Tensor& k, const Tensor& v) {
  const Heads s = check_heads(op, q, k, v);
  AttentionOptions options;
  mask_arg(options, op, mask, py::int_(0), s.batch, s.heads, s.length, s.keys);
  if (has_other_mask(options)) {
    value_error(
        op, ": mask is ", py::hasattr(mask, "dense") ? std::string(py::repr(mask)) : "an array",
        " but must be made of attendo.masks.causal() and attendo.masks.lengths(...) joined by &: the weights are "
        "never formed, so no single one can be left out; attendo.attention takes any mask");
  }
  return options;
}

}  // namespace

void bind_attention_linear(py::module_& m) {
  const auto none = py::none();
  m.def(
      "linear_attention",
      [](Object q, Object k, Object v, Object rule, Object decay, Object beta, Object scale, Object feature_map,
         bool normalize, bool causal, Object mask, Object state, bool return_state, Object chunk_size) -> py::object {
        const char* op = "linear_attention";
        const Call call(op, {q, k, v, decay, beta, state});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v");
        LinearAttentionOptions o;
        o.rule = static_cast<LinearRule>(choice_arg(op, "rule", rule, {"linear", "gated", "delta", "gated_delta"}));
        o.decay = call.optional_tensor(decay, "decay");
        o.beta = call.optional_tensor(beta, "beta");
        o.state = call.optional_tensor(state, "state");
        if (!scale.is_none()) o.scale = number_arg(op, "scale", scale);
        if (!feature_map.is_none()) {
          o.feature_map = static_cast<FeatureMap>(1 + choice_arg(op, "feature_map", feature_map, {"elu", "relu"}));
        }
        const AttentionOptions masked = mask_of(op, mask, tq, tk, tv);
        o.normalize = normalize, o.causal = causal || masked.causal;
        o.key_lengths = masked.key_lengths;
        o.chunk_size = index_arg(op, "chunk_size", chunk_size);
        const LinearAttentionResult y = without_gil([&] { return linear_attention(tq, tk, tv, o); });
        if (!return_state) return call.result(y.out);
        return py::make_tuple(call.result(y.out), call.result(y.state));
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("rule") = "linear", py::arg("decay") = none,
      py::arg("beta") = none, py::arg("scale") = none, py::arg("feature_map") = none, py::arg("normalize") = false,
      py::arg("causal") = true, py::arg("mask") = none, py::arg("state") = none, py::arg("return_state") = false,
      py::arg("chunk_size") = 64);
  m.def(
      "performer",
      [](Object q, Object k, Object v, Object num_features, Object features, Object kernel, bool orthogonal,
         Object generator, bool causal, Object mask, Object scale) {
        const char* op = "performer";
        const Call call(op, {q, k, v, features});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v");
        PerformerOptions o;
        o.kernel = static_cast<PerformerKernel>(choice_arg(op, "kernel", kernel, {"softmax", "relu"}));
        if (!scale.is_none()) o.scale = number_arg(op, "scale", scale);
        const AttentionOptions masked = mask_of(op, mask, tq, tk, tv);
        o.causal = causal || masked.causal;
        o.key_lengths = masked.key_lengths;
        Tensor w = call.optional_tensor(features, "features");
        if (w && (!num_features.is_none() || !generator.is_none())) {
          value_error(op, ": features is given, and num_features or generator as well, which only draw them");
        }
        if (!w) {
          Generator* draws = generator_arg(op, generator);
          if (draws == nullptr) {
            value_error(op,
                        ": generator is missing, which draws the random features; or give features=, "
                        "from performer_features");
          }
          const Index n =
              num_features.is_none() ? default_num_features(tq.dim(-1)) : index_arg(op, "num_features", num_features);
          if (n < 1) value_error(op, ": num_features is ", n, " but must be 1 or more");
          if (tq.dim(-1) < 1) value_error(op, ": query has 0 features but must have 1 or more");
          w = performer_features(n, tq.dim(-1), *draws, orthogonal, tq.dtype());
        }
        const Tensor y = without_gil([&] { return performer(tq, tk, tv, w, o); });
        return call.result(y);
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("num_features") = none, py::arg("features") = none,
      py::arg("kernel") = "softmax", py::arg("orthogonal") = true, py::arg("generator") = none,
      py::arg("causal") = false, py::arg("mask") = none, py::arg("scale") = none);
  m.def(
      "performer_features",
      [](Object num_features, Object d, Object generator, bool orthogonal, Object dtype) {
        const char* op = "performer_features";
        const Index n = index_arg(op, "num_features", num_features), width = index_arg(op, "d", d);
        Generator* draws = generator_arg(op, generator);
        if (draws == nullptr) value_error(op, ": generator is missing, which draws the random features");
        const DType type = dtype_arg(op, dtype);
        return to_numpy(without_gil([&] { return performer_features(n, width, *draws, orthogonal, type); }), true);
      },
      py::arg("num_features"), py::arg("d"), py::arg("generator"), py::arg("orthogonal") = true,
      py::arg("dtype") = "float32");
}

}  // namespace attendo::bindings
