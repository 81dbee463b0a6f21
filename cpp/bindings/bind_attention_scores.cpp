#include "attention/luong.h"
#include "attention/pooled.h"
#include "bindings/convert.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;

bool is_sequence(py::handle x) { return py::isinstance<py::tuple>(x) || py::isinstance<py::list>(x); }

// The entries of score_params; a single array stands for itself.
std::vector<py::object> entries(Object params) {
  if (params.is_none()) return {};
  if (!is_sequence(params)) return {params};
  std::vector<py::object> out;
  for (const py::handle item : params) out.push_back(py::reinterpret_borrow<py::object>(item));
  return out;
}

py::object tracked_one(const std::vector<py::object>& objects) {
  for (const py::object& x : objects) {
    if (is_tensor(x)) return x;
  }
  return py::none();
}

// Calls the caller's function; `function` outlives the score.
ScoreFunction function_arg(Object function) {
  return [&function](const Tensor& q, const Tensor& k) {
    const py::gil_scoped_acquire gil;
    const py::object scores = function(py::cast(q), py::cast(k));
    if (!is_tensor(scores)) {
      type_error("attention: score returned a ", py::cast<std::string>(py::type::of(scores).attr("__name__")),
                 " but must return a Tensor, made of the two it is given");
    }
    return py::cast<Tensor>(scores);
  };
}

void norm_arg(QkNormOptions& options, Object norm, Object weights, const Call& call) {
  const std::string name = norm.is_none() ? "" : py::cast<std::string>(py::str(norm));
  if (name == "rms") {
    options.norm = QkNorm::kRms;
  } else if (name == "l2") {
    options.norm = QkNorm::kL2;
  } else if (!norm.is_none()) {
    value_error("attention: qk_norm is '", name, "' but must be 'rms', 'l2' or None");
  }
  if (weights.is_none()) return;
  if (options.norm != QkNorm::kRms) {
    value_error("attention: qk_norm_weights is given, but only qk_norm=\"rms\" has weights");
  }
  if (!is_sequence(weights) || py::len(weights) != 2) {
    type_error("attention: qk_norm_weights must be (q_weight, k_weight), either of which may be None");
  }
  const auto two = py::reinterpret_borrow<py::sequence>(weights);
  options.q_weight = call.optional_tensor(py::object(two[0]), "q_weight");
  options.k_weight = call.optional_tensor(py::object(two[1]), "k_weight");
}

// The name a parameter has in the formula.
const char* param_name(Score::Kind kind, size_t count, size_t i) {
  constexpr const char* additive[] = {"W_q", "W_k", "v_a", "b"};
  if (kind == Score::kAdditive) return count == 1 ? "v_a" : additive[std::min<size_t>(i, 3)];
  return kind == Score::kGeneral ? "W" : kind == Score::kKernel ? "bandwidth" : "score_params";
}

// A number takes the dtype of the arrays.
Tensor param_arg(Object x, const char* name, DType dtype, const Call& call) {
  if (PyFloat_CheckExact(x.ptr()) || PyLong_CheckExact(x.ptr())) {
    return Tensor::scalar(dtype, number_arg("attention", name, x));
  }
  return call.tensor(x, name);
}

// The score an argument names, with its parameters; a Tensor as the scale joins it.
Score score_arg(const char* op, Object score, const std::vector<py::object>& params, Object scale,
                AttentionOptions& options, DType dtype, const Call& call) {
  Score s;
  if (py::isinstance<py::str>(score)) {
    s.kind = score_kind(py::cast<std::string>(score));
  } else if (PyCallable_Check(score.ptr()) != 0) {
    s.kind = Score::kFunction;
    s.function = function_arg(score);
  } else {
    type_error(op, ": score is a ", py::cast<std::string>(py::type::of(score).attr("__name__")),
               " but must be a name or a function of two blocks");
  }
  for (size_t i = 0; i < params.size(); ++i) {
    s.params.push_back(param_arg(params[i], param_name(s.kind, params.size(), i), dtype, call));
  }
  if (is_tensor(scale)) {
    s.scale = py::cast<Tensor>(scale);
  } else if (!scale.is_none()) {
    options.scale = number_arg(op, "scale", scale);
  }
  return s;
}

// With a trained parameter inside a function the result has a gradient whatever the inputs are.
py::object result_of(const Call& call, const Tensor& x) { return x.requires_grad() ? py::cast(x) : call.result(x); }

py::object attention_scored(Object q, Object k, Object v, Object score, Object score_params, Object qk_norm,
                            Object qk_norm_weights, Object mask, Object bias, Object scale, Object dropout,
                            Object generator, Object q_offset, bool return_weights, Object softcap,
                            const ScoreProgramPtr& score_mod, Object sinks) {
  const std::vector<py::object> params = entries(score_params), weights = entries(qk_norm_weights);
  Call call("attention", {q, k, v, bias, sinks, scale, tracked_one(params), tracked_one(weights)});
  const bool is_function = !py::isinstance<py::str>(score);
  auto input = [&](Object x, const char* name) {  // a function may keep its blocks
    return is_function ? to_tensor(x, "attention", name, Want::kFloat, Memory::kCopy) : call.tensor(x, name);
  };
  const Tensor tq = input(q, "q"), tk = input(k, "k"), tv = input(v, "v");
  for (const auto& [name, x] : {std::pair{"q", &tq}, std::pair{"k", &tk}, std::pair{"v", &tv}}) {
    check_min_rank("attention", name, *x, 2, "(..., length, features)");
  }
  AttentionOptions options;
  Score s = score_arg("attention", score, params, scale, options, tq.dtype(), call);
  norm_arg(s.norm, qk_norm, qk_norm_weights, call);
  options.bias = call.optional_tensor(bias, "bias");
  modification_arg(options, call, "attention", softcap, score_mod, sinks);
  options.dropout = number_arg("attention", "dropout", dropout);
  options.generator = generator_arg("attention", generator);
  const int rank = tq.rank();
  mask_arg(options, "attention", mask, q_offset, tq.shape().product(0, std::max(0, rank - 3)),
           rank >= 3 ? tq.dim(-3) : 1, tq.dim(-2), tk.dim(-2));
  const AttentionResult result = without_gil([&] { return attend_with_score(tq, tk, tv, s, options, return_weights); });
  if (!return_weights) return result_of(call, result.out);
  return py::make_tuple(result_of(call, result.out), result_of(call, result.weights));
}

py::object pooled_function(Object q, Object k, Object v, Object mask, Object scale, bool return_weights) {
  const Call call("pooled", {q, k, v});
  const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v");
  check_min_rank("pooled", "q", tq, 2, "(..., length, features)");
  AttentionOptions options;
  if (!scale.is_none()) options.scale = number_arg("pooled", "scale", scale);
  if (const auto expression = mask_expression(mask)) {
    if (expression->counts_positions() != nullptr) {
      value_error("pooled: mask counts positions of queries, but there is one vector for the whole sequence");
    }
    const Shape lead = tq.shape().slice(0, tq.rank() - 2);
    Shape shape = lead;
    shape.push_back(tq.dim(-2));
    options.mask =
        to_tensor(mask.attr("dense")(lead.size(), 1, 1, tq.dim(-2)), "pooled", "mask", Want::kAny, Memory::kCopy)
            .view(shape);
  } else if (!mask.is_none()) {
    options.mask = to_tensor(mask, "pooled", "mask", Want::kAny, Memory::kCopy);
  }
  const AttentionResult r = without_gil([&] { return pooled(tq, tk, tv, Tensor(), options, return_weights); });
  if (!return_weights) return call.result(r.out);
  return py::make_tuple(call.result(r.out), call.result(r.weights));
}

py::object luong_function(Object query, Object memory, Object w_c, Object score, Object score_params, Object mask,
                          Object scale, bool return_weights) {
  const std::vector<py::object> params = entries(score_params);
  const Call call("luong", {query, memory, w_c, scale, tracked_one(params)});
  const bool is_function = !py::isinstance<py::str>(score);
  auto input = [&](Object x, const char* name) {
    return is_function ? to_tensor(x, "luong", name, Want::kFloat, Memory::kCopy) : call.tensor(x, name);
  };
  const Tensor q = input(query, "query"), m = input(memory, "memory"), w = input(w_c, "W_c");
  if (q.rank() != 2) check_rank("luong", "query", q, 3, "(length, features) or (batch, length, features)");
  check_rank("luong", "memory", m, q.rank(), "as many as query");
  AttentionOptions options;
  const Score s = score_arg("luong", score, params, scale, options, q.dtype(), call);
  mask_arg(options, "luong", mask, py::none(), q.rank() == 3 ? q.dim(0) : 1, 1, q.dim(-2), m.dim(-2));
  const AttentionResult r = without_gil([&] { return luong(q, m, w, s, options, return_weights); });
  if (!return_weights) return result_of(call, r.out);
  return py::make_tuple(result_of(call, r.out), result_of(call, r.weights));
}

}  // namespace

void bind_attention_scores(py::module_& m) {
  const auto none = py::none();
  m.def("attention_scored", &attention_scored, py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("score") = "scaled_dot", py::arg("score_params") = none, py::arg("qk_norm") = none,
        py::arg("qk_norm_weights") = none, py::arg("mask") = none, py::arg("bias") = none, py::arg("scale") = none,
        py::arg("dropout") = 0.0, py::arg("generator") = none, py::arg("q_offset") = none,
        py::arg("return_weights") = false, py::arg("softcap") = none, py::arg("score_mod") = none,
        py::arg("sinks") = none);
  m.def("pooled", &pooled_function, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("mask") = none,
        py::arg("scale") = none, py::arg("return_weights") = false);
  m.def("luong", &luong_function, py::arg("query"), py::arg("memory"), py::arg("W_c"), py::arg("score") = "dot",
        py::arg("score_params") = none, py::arg("mask") = none, py::arg("scale") = none,
        py::arg("return_weights") = false);
}

}  // namespace attendo::bindings
