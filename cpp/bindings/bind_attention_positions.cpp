#include "attention/alibi.h"
#include "attention/relative_bias.h"
#include "attention/relative_position.h"
#include "attention/rotary.h"
#include "attention/segment_recurrence.h"
#include "attention/t5_bias.h"
#include "attention/transformer_xl_attention.h"
#include "bindings/convert.h"
#include "nn/relative_multi_head_attention.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;

// Of the queries of a bias, and of its keys: as many unless said.
struct Extent {
  Index length, keys, q_offset;
};

Index offset_arg(const char* op, Object q_offset, Index length, Index keys) {
  if (!q_offset.is_none()) return index_arg(op, "q_offset", q_offset);
  if (length != keys) {
    value_error(op, ": ", length, " queries and ", keys,
                " keys need q_offset=, the position of the first query: 0 where both begin together, ", keys - length,
                " where both end together, as with a key-value cache");
  }
  return 0;
}

Extent extent_args(const char* op, Object length, Object keys, Object q_offset) {
  const Index l = index_arg(op, "length", length);
  const Index s = keys.is_none() ? l : index_arg(op, "keys", keys);
  return {l, s, offset_arg(op, q_offset, l, s)};
}

Index zero_arg(const char* op, const char* arg, Object zero, const Tensor& x) {
  check_min_rank(op, arg, x, 1, "(..., R)");
  const Index count = x.dim(-1);
  if (!zero.is_none()) {
    const Index at = index_arg(op, "zero", zero);
    if (at < 0 || at >= count) value_error(op, ": zero is ", at, " but must be 0 to ", count - 1);
    return at;
  }
  if (count % 2 == 0) {
    value_error(op, ": ", arg, " has ", count,
                " entries a row, which have no middle; give zero, the one of distance 0");
  }
  return count / 2;
}

py::array_t<double> array_of(const std::vector<double>& values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

void bind_rotary(py::module_& m) {
  const auto none = py::none();
  m.def(
      "rotary",
      [](Object x, Object positions, Object base, bool interleaved, Object rotary_dim, Object cos, Object sin,
         Object offset, Object frequencies) {
        const Call call("rotary", {x, positions, cos, sin, frequencies});
        const Tensor in = call.tensor(x, "x");
        RotaryOptions options;
        options.positions = call.optional_tensor(positions, "positions", Want::kAny);
        options.base = number_arg("rotary", "base", base);
        options.interleaved = interleaved;
        if (!rotary_dim.is_none()) {
          options.rotary_dim = index_arg("rotary", "rotary_dim", rotary_dim);
          if (options.rotary_dim < 0)
            value_error("rotary: rotary_dim is ", options.rotary_dim, " but must be even and 0 or more");
        }
        options.cos = call.optional_tensor(cos, "cos");
        options.sin = call.optional_tensor(sin, "sin");
        options.offset = index_arg("rotary", "offset", offset);
        if (!frequencies.is_none()) {
          const Tensor given = call.tensor(frequencies, "frequencies");
          check_float("rotary", "frequencies", given);
          check_rank("rotary", "frequencies", given, 1, "(rotary_dim / 2,)");
          if (given.requires_grad()) value_error("rotary: frequencies requires a gradient, but they get none");
          const Tensor all = given.to(DType::kFloat64);
          options.frequencies.assign(all.data<double>(), all.data<double>() + all.size());
        }
        return call.result(without_gil([&] { return rotary(in, options); }));
      },
      py::arg("x"), py::arg("positions") = none, py::arg("base") = 10000.0, py::arg("interleaved") = false,
      py::arg("rotary_dim") = none, py::arg("cos") = none, py::arg("sin") = none, py::arg("offset") = 0,
      py::arg("frequencies") = none);
  m.def(
      "inverse_frequencies",
      [](Object dim, Object base, const std::string& kind, double factor, double low, double high, double original) {
        using Kind = FrequencyScaling::Kind;
        FrequencyScaling s{Kind::kNone, factor, low, high, original};
        const std::pair<const char*, Kind> kinds[] = {
            {"linear", Kind::kLinear}, {"ntk", Kind::kNtk}, {"llama3", Kind::kLlama3}, {"yarn", Kind::kYarn}};
        for (const auto& [name, value] : kinds) {
          if (kind == name) s.kind = value;
        }
        return array_of(inverse_frequencies(index_arg("inverse_frequencies", "dim", dim),
                                            number_arg("inverse_frequencies", "base", base), s));
      },
      py::arg("dim"), py::arg("base"), py::arg("kind"), py::arg("factor"), py::arg("low"), py::arg("high"),
      py::arg("original"));
}

void bind_biases(py::module_& m) {
  const auto none = py::none();
  m.def(
      "relative_bias",
      [](Object table, Object length, Object keys, Object q_offset, Object zero) {
        const Call call("relative_bias", {table});
        const Tensor t = call.tensor(table, "table");
        const Extent e = extent_args("relative_bias", length, keys, q_offset);
        const Index middle = zero_arg("relative_bias", "table", zero, t);
        return call.result(without_gil([&] { return relative_bias(t, e.length, e.keys, e.q_offset, middle); }));
      },
      py::arg("table"), py::arg("length"), py::arg("keys") = none, py::arg("q_offset") = none, py::arg("zero") = none);
  m.def(
      "relative_shift",
      [](Object x, Object keys, Object q_offset, Object zero) {
        const Call call("relative_shift", {x});
        const Tensor in = call.tensor(x, "x");
        check_min_rank("relative_shift", "x", in, 2, "(..., L, R)");
        const Index length = in.dim(-2), s = keys.is_none() ? length : index_arg("relative_shift", "keys", keys);
        const Index offset = offset_arg("relative_shift", q_offset, length, s);
        const Index middle = zero_arg("relative_shift", "x", zero, in);
        return call.result(without_gil([&] { return relative_shift(in, s, offset, middle); }));
      },
      py::arg("x"), py::arg("keys") = none, py::arg("q_offset") = none, py::arg("zero") = none);
  m.def(
      "alibi",
      [](Object slopes, Object length, Object keys, Object q_offset) {
        const Call call("alibi", {slopes});
        const Tensor in = call.tensor(slopes, "slopes");
        const Extent e = extent_args("alibi", length, keys, q_offset);
        return call.result(without_gil([&] { return alibi(in, e.length, e.keys, e.q_offset); }));
      },
      py::arg("slopes"), py::arg("length"), py::arg("keys") = none, py::arg("q_offset") = none);
  m.def(
      "alibi_slopes",
      [](Object num_heads, Object dtype) {
        const std::vector<double> slopes = alibi_slopes(index_arg("alibi_slopes", "num_heads", num_heads));
        const Tensor y = Tensor::empty({static_cast<Index>(slopes.size())}, DType::kFloat64);
        std::copy(slopes.begin(), slopes.end(), y.data<double>());
        return to_numpy(y.to(dtype_arg("alibi_slopes", dtype)), true);
      },
      py::arg("num_heads"), py::arg("dtype") = "float32");
  m.def(
      "t5_bias",
      [](Object table, Object length, Object keys, Object q_offset, bool bidirectional, Object max_distance) {
        const Call call("t5_bias", {table});
        const Tensor t = call.tensor(table, "table");
        const Extent e = extent_args("t5_bias", length, keys, q_offset);
        T5Buckets buckets;
        buckets.bidirectional = bidirectional;
        buckets.max_distance = index_arg("t5_bias", "max_distance", max_distance);
        return call.result(without_gil([&] { return t5_bias(t, e.length, e.keys, e.q_offset, buckets); }));
      },
      py::arg("table"), py::arg("length"), py::arg("keys") = none, py::arg("q_offset") = none,
      py::arg("bidirectional") = true, py::arg("max_distance") = 128);
  m.def(
      "t5_buckets",
      [](Object relative, bool bidirectional, Object num_buckets, Object max_distance) {
        const char* op = "t5_buckets";
        const Tensor in = to_tensor(relative, op, "relative_position", Want::kAny, Memory::kBorrow);
        const T5Buckets buckets{index_arg(op, "num_buckets", num_buckets), index_arg(op, "max_distance", max_distance),
                                bidirectional};
        return to_numpy(without_gil([&] { return t5_buckets(in, buckets); }), true);
      },
      py::arg("relative_position"), py::arg("bidirectional") = true, py::arg("num_buckets") = 32,
      py::arg("max_distance") = 128);
}

// What attention's functions share: the mask, the offset that relative positions need, and the rest.
AttentionOptions options_of(const char* op, const Call& call, const Tensor& q, const Tensor& k, const Tensor& v,
                            Object mask, Object bias, Object scale, Object dropout, Object generator, Object q_offset) {
  for (const auto& [name, x] : {std::pair{"q", &q}, std::pair{"k", &k}, std::pair{"v", &v}}) {
    check_float(op, name, *x);
    check_same_dtype(op, name, *x, "q", q);
    check_min_rank(op, name, *x, 2, "(..., length, features)");
  }
  AttentionOptions options;
  if (!scale.is_none()) options.scale = number_arg(op, "scale", scale);
  options.bias = call.optional_tensor(bias, "bias");
  if (options.bias) {
    check_float(op, "bias", options.bias);
    check_same_dtype(op, "bias", options.bias, "q", q);
  }
  options.dropout = number_arg(op, "dropout", dropout);
  options.generator = generator_arg(op, generator);
  const int rank = q.rank();
  const Index length = q.dim(-2), keys = k.dim(-2);
  offset_arg(op, q_offset, length, keys);
  mask_arg(options, op, mask, q_offset, q.shape().product(0, std::max(0, rank - 3)), rank >= 3 ? q.dim(-3) : 1, length,
           keys);
  return options;
}

py::object result_of(const Call& call, const AttentionResult& r, bool return_weights) {
  if (!return_weights) return call.result(r.out);
  return py::make_tuple(call.result(r.out), call.result(r.weights));
}

void bind_relative_attention(py::module_& m) {
  const auto none = py::none();
  m.def(
      "relative_position",
      [](Object q, Object k, Object v, Object key_table, Object value_table, Object mask, Object bias, Object scale,
         Object dropout, Object generator, Object q_offset, bool return_weights) {
        const Call call("relative_position", {q, k, v, key_table, value_table, bias});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v"),
                     keys = call.tensor(key_table, "key_table"),
                     values = call.optional_tensor(value_table, "value_table");
        const AttentionOptions options =
            options_of("relative_position", call, tq, tk, tv, mask, bias, scale, dropout, generator, q_offset);
        return result_of(
            call, without_gil([&] { return relative_position(tq, tk, tv, keys, values, options, return_weights); }),
            return_weights);
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("key_table"), py::arg("value_table") = none,
      py::arg("mask") = none, py::arg("bias") = none, py::arg("scale") = none, py::arg("dropout") = 0.0,
      py::arg("generator") = none, py::arg("q_offset") = none, py::arg("return_weights") = false);
  m.def(
      "transformer_xl_attention",
      [](Object q, Object k, Object v, Object r, Object content_bias, Object position_bias, Object mask, Object bias,
         Object scale, Object dropout, Object generator, Object q_offset, bool return_weights) {
        const char* op = "transformer_xl_attention";
        const Call call(op, {q, k, v, r, content_bias, position_bias, bias});
        const Tensor tq = call.tensor(q, "q"), tk = call.tensor(k, "k"), tv = call.tensor(v, "v"),
                     tr = call.tensor(r, "r"), content = call.tensor(content_bias, "content_bias"),
                     position = call.tensor(position_bias, "position_bias");
        const AttentionOptions options =
            options_of(op, call, tq, tk, tv, mask, bias, scale, dropout, generator, q_offset);
        const auto run = [&] {
          return transformer_xl_attention(tq, tk, tv, tr, content, position, options, return_weights);
        };
        return result_of(call, without_gil(run), return_weights);
      },
      py::arg("q"), py::arg("k"), py::arg("v"), py::arg("r"), py::arg("content_bias"), py::arg("position_bias"),
      py::arg("mask") = none, py::arg("bias") = none, py::arg("scale") = none, py::arg("dropout") = 0.0,
      py::arg("generator") = none, py::arg("q_offset") = none, py::arg("return_weights") = false);
  m.def(
      "relative_sinusoid",
      [](Object first, Object count, Object d_model, Object dtype) {
        const char* op = "relative_sinusoid";
        return to_numpy(relative_sinusoid(index_arg(op, "first", first), index_arg(op, "count", count),
                                          index_arg(op, "d_model", d_model), dtype_arg(op, dtype)),
                        true);
      },
      py::arg("first"), py::arg("count"), py::arg("d_model"), py::arg("dtype") = "float32");
  m.def(
      "segment_recurrence",
      [](Object x, Object memory, Object memory_length) {
        const char* op = "segment_recurrence";
        const Call call(op, {x, memory});
        // Copies: the memory outlives the call, and without one before it `extended` is x itself.
        const Tensor in = to_tensor(x, op, "x", Want::kFloat, Memory::kCopy);
        const Tensor before =
            memory.is_none() ? Tensor() : to_tensor(memory, op, "memory", Want::kFloat, Memory::kCopy);
        Index kept = kAsSegment;
        if (!memory_length.is_none()) {
          kept = index_arg(op, "memory_length", memory_length);
          if (kept < 0) value_error(op, ": memory_length is ", kept, " but must be 0 or more");
        }
        const SegmentRecurrence r = without_gil([&] { return segment_recurrence(in, before, kept); });
        return py::make_tuple(call.result(r.extended), call.result(r.memory));
      },
      py::arg("x"), py::arg("memory") = none, py::arg("memory_length") = none);
}

void bind_relative_layer(py::module_& m) {
  const auto none = py::none();
  using Layer = nn::RelativeMultiHeadAttention;
  py::classh<Layer, nn::Module, PyLayer<Layer>>(
      m, "RelativeMultiHeadAttention", "Transformer-XL's attention: relative positions and a memory.", collectable())
      .def(layer_init<Layer>(+[](Object d, Object h, Object dropout, bool bias, Object dtype, Object seed) {
             const char* op = "RelativeMultiHeadAttention";
             return Made{std::tuple(index_arg(op, "d_model", d), index_arg(op, "num_heads", h),
                                    number_arg(op, "dropout", dropout), bias, dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::kw_only(), py::arg("dropout") = 0.0, py::arg("bias") = false,
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly("num_heads", &Layer::num_heads)
      .def_property_readonly("d_model", &Layer::d_model)
      .def(
          "forward",
          [](Layer& self, Object x, Object memory, Object mask, Object bias, bool return_weights) -> py::object {
            const char* op = "RelativeMultiHeadAttention";
            const Tensor in = to_tensor(x, op, "x", Want::kFloat, Memory::kCopy);
            const Tensor before =
                memory.is_none() ? Tensor() : to_tensor(memory, op, "memory", Want::kFloat, Memory::kCopy);
            check_rank(op, "x", in, 3, "(batch, length, d_model)");
            if (before) check_rank(op, "memory", before, 3, "(batch, length, d_model)");
            AttentionOptions options;
            if (!bias.is_none()) options.bias = to_tensor(bias, op, "bias", Want::kFloat, Memory::kCopy);
            const Index remembered = before ? before.dim(1) : 0;
            mask_arg(options, op, mask, py::int_(remembered), in.dim(0), self.num_heads(), in.dim(1),
                     remembered + in.dim(1));
            const AttentionResult r = without_gil([&] { return self(in, before, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("x"), py::arg("memory") = none, py::kw_only(), py::arg("mask") = none, py::arg("bias") = none,
          py::arg("return_weights") = false);
}

}  // namespace

void bind_attention_positions(py::module_& m) {
  bind_rotary(m);
  bind_biases(m);
  bind_relative_attention(m);
  bind_relative_layer(m);
}

}  // namespace attendo::bindings
