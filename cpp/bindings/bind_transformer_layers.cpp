#include "bindings/convert.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "nn/decoder_layer.h"
#include "nn/positional_encoding.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

AttentionOptions attention_options(const char* op, Object mask, Object bias, Object q_offset, const Tensor& query,
                                   const Tensor& key, Index heads) {
  AttentionOptions options;
  if (!bias.is_none()) options.bias = to_tensor(bias, op, "bias", Want::kFloat, Memory::kCopy);
  check_rank(op, "query", query, 3, "(batch, length, d_model)");
  check_rank(op, "key", key, 3, "(batch, length, d_model)");
  mask_arg(options, op, mask, q_offset, query.dim(0), heads, query.dim(1), key.dim(1));
  return options;
}

auto layer_arguments(const char* op, Object d_model, Object num_heads, Object dff, const py::kwargs& rest) {
  nn::LayerOptions o;
  o.d_model = index_arg(op, "d_model", d_model), o.num_heads = index_arg(op, "num_heads", num_heads);
  o.dff = index_arg(op, "dff", dff);
  Keywords keywords(op, rest);
  take_layer_options(keywords, o);
  bool turned = false;
  keywords.take("rotary", turned);
  nn::Rotary rotary;
  take_rotary(keywords, rotary);
  if (turned) o.rotary = rotary;
  const auto seed = keywords.take_seed();
  keywords.end();
  return std::pair(o, seed);
}

}  // namespace

void bind_transformer_layers(py::module_& m) {
  const auto none = py::none();
  using nn::MultiHeadAttention;
  py::classh<MultiHeadAttention, Module, PyLayer<MultiHeadAttention>>(
      m, "MultiHeadAttention", "Attention in several heads, with input and output projections.", collectable())
      .def(layer_init<MultiHeadAttention>(+[](Object d, Object h, const py::kwargs& rest) {
             const char* op = "MultiHeadAttention";
             nn::MultiHeadOptions o;
             o.d_model = index_arg(op, "d_model", d), o.num_heads = index_arg(op, "num_heads", h);
             Keywords keywords(op, rest);
             keywords.take_size("num_kv_heads", o.num_kv_heads);
             keywords.take_size("head_dim", o.head_dim);
             keywords.take_size("value_dim", o.value_dim);
             keywords.take_size("kdim", o.kdim);
             keywords.take_size("vdim", o.vdim);
             keywords.take("dropout", o.dropout);
             keywords.take("bias", o.bias);
             keywords.take("out_bias", o.out_bias);
             keywords.take("scale", o.scale);
             keywords.take("qk_norm", o.qk_norm);
             keywords.take("qk_norm_eps", o.qk_norm_eps);
             bool turned = false;
             keywords.take("rotary", turned);
             nn::Rotary rotary;
             take_rotary(keywords, rotary);
             if (turned) o.rotary = rotary;
             keywords.take("dtype", o.dtype);
             const auto seed = keywords.take_seed();
             keywords.end();
             return Made{std::tuple(o), seed};
           }),
           py::arg("d_model"), py::arg("num_heads"))
      .def_property_readonly("num_kv_heads", [](const MultiHeadAttention& self) { return self.options().num_kv_heads; })
      .def_property_readonly("head_dim", [](const MultiHeadAttention& self) { return self.options().head_dim; })
      .def_property_readonly("value_dim", [](const MultiHeadAttention& self) { return self.options().value_dim; })
      .def_property_readonly("num_heads", &MultiHeadAttention::num_heads)
      .def_property_readonly("d_model", &MultiHeadAttention::d_model)
      .def(
          "forward",
          [](MultiHeadAttention& self, Object query, Object key, Object value, Object mask, Object bias,
             Object q_offset, bool return_weights) -> py::object {
            const char* op = "MultiHeadAttention";
            const Tensor q = to_tensor(query, op, "query", Want::kFloat, Memory::kCopy);
            const Tensor k = key.is(query) ? q : to_tensor(key, op, "key", Want::kFloat, Memory::kCopy);
            const Tensor v = value.is(query) ? q
                             : value.is(key) ? k
                                             : to_tensor(value, op, "value", Want::kFloat, Memory::kCopy);
            const AttentionOptions options = attention_options(op, mask, bias, q_offset, q, k, self.num_heads());
            const AttentionResult r = without_gil([&] { return self(q, k, v, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("query"), py::arg("key"), py::arg("value"), py::kw_only(), py::arg("mask") = none,
          py::arg("bias") = none, py::arg("q_offset") = none, py::arg("return_weights") = false);

  py::classh<nn::PositionalEncoding, Module> position(m, "PositionalEncoding",
                                                      "Adds a row of a table to each position.", collectable());
  position.def(
      "forward",
      [](nn::PositionalEncoding& self, Object x, Object offset) {
        const Tensor in = to_tensor(x, "PositionalEncoding", "x", Want::kFloat, Memory::kCopy);
        const Index start = index_arg("PositionalEncoding", "offset", offset);
        return without_gil([&] { return self(in, start); });
      },
      py::arg("x"), py::arg("offset") = 0);
  position.def_property_readonly(
      "table",
      [](const nn::PositionalEncoding& self) {
        return to_numpy(self.table(self.max_len()).rows(0, self.max_len()), false);
      },
      "(max_len, d_model), read-only.");
  py::classh<nn::SinusoidalPositionalEncoding, nn::PositionalEncoding, PyLayer<nn::SinusoidalPositionalEncoding>>(
      m, "SinusoidalPositionalEncoding", "Sines and cosines of many wavelengths.", collectable())
      .def(layer_init<nn::SinusoidalPositionalEncoding>(+[](Object d, Object n, Object dtype) {
             const char* op = "SinusoidalPositionalEncoding";
             return Made{std::tuple(index_arg(op, "d_model", d), index_arg(op, "max_len", n), dtype_arg(op, dtype)),
                         std::nullopt};
           }),
           py::arg("d_model"), py::arg("max_len"), py::kw_only(), py::arg("dtype") = "float32");
  py::classh<nn::LearnedPositionalEncoding, nn::PositionalEncoding, PyLayer<nn::LearnedPositionalEncoding>>(
      m, "LearnedPositionalEncoding", "A trained vector a position.", collectable())
      .def(layer_init<nn::LearnedPositionalEncoding>(+[](Object d, Object n, Object dtype, Object seed) {
             const char* op = "LearnedPositionalEncoding";
             return Made{std::tuple(index_arg(op, "d_model", d), index_arg(op, "max_len", n), dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("max_len"), py::kw_only(), py::arg("dtype") = "float32", py::arg("seed") = none);

  py::classh<nn::FeedForward, Module, PyLayer<nn::FeedForward>>(m, "FeedForward",
                                                                "Linear, activation, dropout, linear.", collectable())
      .def(layer_init<nn::FeedForward>(+[](Object d, Object dff, Object dropout, const std::string& activation,
                                           bool bias, Object dtype, Object seed) {
             return Made{std::tuple(index_arg("FeedForward", "d_model", d), index_arg("FeedForward", "dff", dff),
                                    number_arg("FeedForward", "dropout", dropout), activation,
                                    dtype_arg("FeedForward", dtype), bias),
                         seed_arg("FeedForward", seed)};
           }),
           py::arg("d_model"), py::arg("dff"), py::kw_only(), py::arg("dropout") = 0.0, py::arg("activation") = "relu",
           py::arg("bias") = true, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", call_tensor<nn::FeedForward>("FeedForward"), py::arg("x"));

  py::classh<nn::EncoderLayer, Module, PyLayer<nn::EncoderLayer>>(
      m, "EncoderLayer", "Self-attention and a feed-forward network, each with residual and norm.", collectable())
      .def(layer_init<nn::EncoderLayer>(+[](Object d, Object h, Object dff, const py::kwargs& rest) {
             const auto [options, seed] = layer_arguments("EncoderLayer", d, h, dff, rest);
             return Made{std::tuple(options), seed};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::arg("dff"))
      .def(
          "forward",
          [](nn::EncoderLayer& self, Object x, Object mask, bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "EncoderLayer", "x", Want::kFloat, Memory::kCopy);
            const AttentionOptions options = attention_options("EncoderLayer", mask, py::none(), py::none(), in, in, 1);
            const AttentionResult r = without_gil([&] { return self(in, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("x"), py::arg("mask") = none, py::kw_only(), py::arg("return_weights") = true);
  py::classh<nn::Encoder, Module, PyLayer<nn::Encoder>>(m, "Encoder", "A stack of encoder layers.", collectable())
      .def(layer_init<nn::Encoder>(+[](Object n, Object d, Object h, Object dff, const py::kwargs& rest) {
             const auto [options, seed] = layer_arguments("Encoder", d, h, dff, rest);
             return Made{std::tuple(index_arg("Encoder", "num_layers", n), options), seed};
           }),
           py::arg("num_layers"), py::arg("d_model"), py::arg("num_heads"), py::arg("dff"))
      .def(
          "forward",
          [](nn::Encoder& self, Object x, Object mask, bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "Encoder", "x", Want::kFloat, Memory::kCopy);
            const AttentionOptions options = attention_options("Encoder", mask, py::none(), py::none(), in, in, 1);
            const nn::StackResult r = without_gil([&] { return self(in, options, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, list_of(r.weights));
          },
          py::arg("x"), py::arg("mask") = none, py::kw_only(), py::arg("return_weights") = true)
      .def(
          "without_padding",
          [](nn::Encoder& self, Object x, Object lengths) {
            const Tensor in = to_tensor(x, "Encoder.without_padding", "x", Want::kFloat, Memory::kBorrow);
            const Tensor n = to_tensor(lengths, "Encoder.without_padding", "lengths", Want::kAny, Memory::kBorrow);
            return without_gil([&] { return self.without_padding(in, n); });
          },
          py::arg("x"), py::arg("lengths"), "The output in evaluation, computed for the real positions only.");

  // In a decoder self-attention is causal unless a mask says otherwise.
  auto decoder_options = [](const char* op, Object mask, Object memory_mask, const Tensor& x, const Tensor& memory) {
    std::pair<AttentionOptions, AttentionOptions> out;
    out.first = attention_options(op, mask, py::none(), py::none(), x, x, 1);
    if (mask.is_none()) out.first.causal = true;
    out.second = attention_options(op, memory_mask, py::none(), py::none(), x, memory, 1);
    return out;
  };
  py::classh<nn::DecoderLayer, Module, PyLayer<nn::DecoderLayer>>(
      m, "DecoderLayer", "Causal self-attention, attention to the memory, a feed-forward network.", collectable())
      .def(layer_init<nn::DecoderLayer>(+[](Object d, Object h, Object dff, const py::kwargs& rest) {
             const auto [options, seed] = layer_arguments("DecoderLayer", d, h, dff, rest);
             return Made{std::tuple(options), seed};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::arg("dff"))
      .def(
          "forward",
          [=](nn::DecoderLayer& self, Object x, Object memory, Object mask, Object memory_mask,
              bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "DecoderLayer", "x", Want::kFloat, Memory::kCopy);
            const Tensor mem = to_tensor(memory, "DecoderLayer", "memory", Want::kFloat, Memory::kCopy);
            const auto options = decoder_options("DecoderLayer", mask, memory_mask, in, mem);
            const nn::DecoderLayer::Result r =
                without_gil([&] { return self(in, mem, options.first, options.second, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, py::make_tuple(r.weights, r.cross_weights));
          },
          py::arg("x"), py::arg("memory"), py::arg("mask") = none, py::arg("memory_mask") = none, py::kw_only(),
          py::arg("return_weights") = true);
  py::classh<nn::Decoder, Module, PyLayer<nn::Decoder>>(m, "Decoder", "A stack of decoder layers.", collectable())
      .def(layer_init<nn::Decoder>(+[](Object n, Object d, Object h, Object dff, const py::kwargs& rest) {
             const auto [options, seed] = layer_arguments("Decoder", d, h, dff, rest);
             return Made{std::tuple(index_arg("Decoder", "num_layers", n), options), seed};
           }),
           py::arg("num_layers"), py::arg("d_model"), py::arg("num_heads"), py::arg("dff"))
      .def(
          "forward",
          [=](nn::Decoder& self, Object x, Object memory, Object mask, Object memory_mask,
              bool return_weights) -> py::object {
            const Tensor in = to_tensor(x, "Decoder", "x", Want::kFloat, Memory::kCopy);
            const Tensor mem = to_tensor(memory, "Decoder", "memory", Want::kFloat, Memory::kCopy);
            const auto options = decoder_options("Decoder", mask, memory_mask, in, mem);
            const nn::StackResult r =
                without_gil([&] { return self(in, mem, options.first, options.second, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, py::make_tuple(list_of(r.weights), list_of(r.cross_weights)));
          },
          py::arg("x"), py::arg("memory"), py::arg("mask") = none, py::arg("memory_mask") = none, py::kw_only(),
          py::arg("return_weights") = true);
}

}  // namespace attendo::bindings
