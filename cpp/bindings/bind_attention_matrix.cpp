// Attention made cheaper by matrices of fewer rows, fewer columns, fewer bits or fewer entries.
#include "attention/int8_attention.h"
#include "attention/linformer.h"
#include "attention/low_rank.h"
#include "attention/nystrom.h"
#include "attention/top_k_attention.h"
#include "bindings/convert.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;

struct Inputs {
  Tensor q, k, v;
};

Inputs inputs_of(const Call& call, const char* op, Object q, Object k, Object v) {
  const Inputs in{call.tensor(q, "q"), call.tensor(k, "k"), call.tensor(v, "v")};
  for (const auto& [name, x] : {std::pair{"q", &in.q}, std::pair{"k", &in.k}, std::pair{"v", &in.v}}) {
    check_min_rank(op, name, *x, 2, "(..., length, features)");
  }
  return in;
}

AttentionOptions mask_of(const char* op, const Inputs& in, Object mask, Object q_offset) {
  AttentionOptions options;
  const int rank = in.q.rank();
  mask_arg(options, op, mask, q_offset, in.q.shape().product(0, std::max(0, rank - 3)), rank >= 3 ? in.q.dim(-3) : 1,
           in.q.dim(-2), in.k.dim(-2));
  return options;
}

// The lengths of a mask that is nothing else; `why`: what makes every other senseless.
Tensor lengths_of(const char* op, const Inputs& in, Object mask, const char* why) {
  if (mask.is_none()) return {};
  const AttentionOptions options = mask_of(op, in, mask, py::int_(0));
  if (options.causal || has_other_mask(options)) {
    value_error(op, ": mask must be attendo.masks.lengths(...) or None: ", why);
  }
  return options.key_lengths;
}

// causal() and lengths(), which leave each query the keys up to some position.
AttentionOptions first_keys_of(const char* op, const Inputs& in, Object mask, Object q_offset) {
  const AttentionOptions options = mask_of(op, in, mask, q_offset);
  if (options.q_offsets) value_error(op, ": q_offset must be one number");
  if (has_other_mask(options)) {
    value_error(op, ": mask must be attendo.masks.causal(), lengths(...), both with & between them, or None: others ",
                "are not supported here");
  }
  return options;
}

std::optional<double> scale_arg(const char* op, Object scale) {
  if (scale.is_none()) return std::nullopt;
  return number_arg(op, "scale", scale);
}

py::object results(const Call& call, const AttentionResult& result, bool return_weights) {
  if (!return_weights) return call.result(result.out);
  return py::make_tuple(call.result(result.out), call.result(result.weights));
}

}  // namespace

void bind_attention_matrix(py::module_& m) {
  const auto none = py::none();
  m.def(
      "linformer",
      [](Object q, Object k, Object v, Object proj_k, Object proj_v, Object mask, Object scale, bool return_weights) {
        const Call call("linformer", {q, k, v, proj_k, proj_v});
        const Inputs in = inputs_of(call, "linformer", q, k, v);
        const Tensor e = call.tensor(proj_k, "proj_k"), f = call.optional_tensor(proj_v, "proj_v");
        const Tensor lengths = lengths_of("linformer", in, mask,
                                          "every mixed key holds something of all positions, so none can be left out "
                                          "for one query and not for another");
        const auto s = scale_arg("linformer", scale);
        return results(call, without_gil([&] { return linformer(in.q, in.k, in.v, e, f, lengths, s, return_weights); }),
                       return_weights);
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("proj_k"), py::arg("proj_v") = none, py::arg("mask") = none,
      py::arg("scale") = none, py::arg("return_weights") = false);

  m.def(
      "linformer_projection",
      [](Object r, Object length, const std::string& kind, Object seed, Object dtype) {
        const char* op = "linformer_projection";
        const Index rows = index_arg(op, "r", r), keys = index_arg(op, "length", length);
        const DType type = dtype_arg(op, dtype);
        if (kind == "mean") {
          if (!seed.is_none()) value_error(op, ": seed is for kind='normal'; means are not random");
          return to_numpy(linformer_mean_projection(rows, keys, type), true);
        }
        if (kind != "normal") value_error(op, ": kind is '", kind, "' but must be 'normal' or 'mean'");
        const std::optional<std::uint64_t> number = seed_arg(op, seed);
        if (!number) value_error(op, ": kind='normal' needs seed=");
        return to_numpy(linformer_normal_projection(rows, keys, *number, type), true);
      },
      py::arg("r"), py::arg("length"), py::arg("kind") = "normal", py::arg("seed") = none,
      py::arg("dtype") = "float32");

  m.def(
      "nystrom",
      [](Object q, Object k, Object v, Object landmarks, Object mask, Object q_lengths, Object scale,
         Object iterations) {
        const Call call("nystrom", {q, k, v});
        const Inputs in = inputs_of(call, "nystrom", q, k, v);
        NystromOptions options;
        options.landmarks = index_arg("nystrom", "landmarks", landmarks);
        options.iterations = index_arg("nystrom", "iterations", iterations);
        options.scale = scale_arg("nystrom", scale);
        options.key_lengths = lengths_of("nystrom", in, mask,
                                         "every landmark is the mean of several positions, so none can be left out for "
                                         "one query and not for another");
        if (!q_lengths.is_none()) {
          options.q_lengths = to_tensor(q_lengths, "nystrom", "q_lengths", Want::kAny, Memory::kCopy);
        } else if (options.key_lengths) {
          value_error(
              "nystrom: a mask of lengths needs q_lengths= too: the landmarks are means of queries, of which the "
              "padded ones must not count; for self-attention they are the same lengths, without padding among "
              "the queries they are all ",
              in.q.dim(-2));
        }
        return call.result(without_gil([&] { return nystrom(in.q, in.k, in.v, options); }));
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("landmarks") = 64, py::arg("mask") = none,
      py::arg("q_lengths") = none, py::arg("scale") = none, py::arg("iterations") = 6);

  m.def(
      "low_rank",
      [](Object q, Object k, Object v, Object basis_q, Object basis_k, Object mask, Object scale, Object q_offset,
         bool return_weights) {
        const Call call("low_rank", {q, k, v, basis_q, basis_k});
        const Inputs in = inputs_of(call, "low_rank", q, k, v);
        const Tensor a = call.tensor(basis_q, "basis_q"), b = call.optional_tensor(basis_k, "basis_k");
        AttentionOptions options = mask_of("low_rank", in, mask, q_offset);
        options.scale = scale_arg("low_rank", scale);
        return results(call, without_gil([&] { return low_rank(in.q, in.k, in.v, a, b, options, return_weights); }),
                       return_weights);
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("basis_q"), py::arg("basis_k") = none, py::arg("mask") = none,
      py::arg("scale") = none, py::arg("q_offset") = none, py::arg("return_weights") = false);

  m.def(
      "low_rank_basis",
      [](Object q, Object k, Object rank) {
        const Tensor tq = to_tensor(q, "low_rank_basis", "q", Want::kFloat, Memory::kBorrow),
                     tk = to_tensor(k, "low_rank_basis", "k", Want::kFloat, Memory::kBorrow);
        const Index r = index_arg("low_rank_basis", "rank", rank);
        const auto pair = without_gil([&] { return low_rank_basis(tq, tk, r); });
        return py::make_tuple(to_numpy(pair.first, true), to_numpy(pair.second, true));
      },
      py::arg("q"), py::arg("k"), py::arg("rank"));

  m.def(
      "int8_attention",
      [](Object q, Object k, Object v, Object mask, Object scale, Object q_offset) {
        const Call call("int8_attention", {q, k, v});
        const Inputs in = inputs_of(call, "int8_attention", q, k, v);
        const AttentionOptions masked = first_keys_of("int8_attention", in, mask, q_offset);
        const Int8Options options{scale_arg("int8_attention", scale), masked.causal, masked.q_offset,
                                  masked.key_lengths};
        return call.result(without_gil([&] { return int8_attention(in.q, in.k, in.v, options); }));
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("mask") = none, py::arg("scale") = none,
      py::arg("q_offset") = none);

  m.def(
      "top_k_attention",
      [](Object q, Object k, Object v, Object keep, Object mask, Object scale, Object q_offset, bool return_weights) {
        const Call call("top_k_attention", {q, k, v});
        const Inputs in = inputs_of(call, "top_k_attention", q, k, v);
        const AttentionOptions masked = first_keys_of("top_k_attention", in, mask, q_offset);
        const TopKOptions options{index_arg("top_k_attention", "keep", keep), scale_arg("top_k_attention", scale),
                                  masked.causal, masked.q_offset, masked.key_lengths};
        return results(call, without_gil([&] { return top_k_attention(in.q, in.k, in.v, options, return_weights); }),
                       return_weights);
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("keep"), py::arg("mask") = none, py::arg("scale") = none,
      py::arg("q_offset") = none, py::arg("return_weights") = false);
}

}  // namespace attendo::bindings
