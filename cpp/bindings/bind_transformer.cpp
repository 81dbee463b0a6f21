#include "bindings/convert.h"
#include "bindings/decoding.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "models/transformer.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::Transformer;
using models::TransformerOptions;

constexpr const char* kOp = "Transformer";

auto parse(Object d_model, Object nhead, Object encoder_layers, Object decoder_layers, Object dff, Object input_vocab,
           Object target_vocab, Object max_len, const py::kwargs& rest) {
  TransformerOptions o;
  o.layer.d_model = index_arg(kOp, "d_model", d_model), o.layer.num_heads = index_arg(kOp, "nhead", nhead);
  o.num_encoder_layers = index_arg(kOp, "num_encoder_layers", encoder_layers);
  o.num_decoder_layers = index_arg(kOp, "num_decoder_layers", decoder_layers);
  o.layer.dff = index_arg(kOp, "dff", dff);
  o.input_vocab_size = index_arg(kOp, "input_vocab_size", input_vocab);
  o.target_vocab_size = index_arg(kOp, "target_vocab_size", target_vocab);
  o.max_len = index_arg(kOp, "max_len", max_len);
  o.layer.dropout = 0.1;
  Keywords keywords(kOp, rest);
  take_layer_options(keywords, o.layer);
  keywords.take("pad_id", o.pad_id);
  keywords.take_size("decoder_nhead", o.decoder_nhead);
  keywords.take_size("decoder_dff", o.decoder_dff);
  keywords.take("positions", o.positions);
  keywords.take("num_buckets", o.num_buckets);
  keywords.take("max_distance", o.max_distance);
  keywords.take("scale_embeddings", o.scale_embeddings);
  keywords.take("shared_embeddings", o.shared_embeddings);
  keywords.take("embed_padding", o.embed_padding);
  keywords.take("tie_weights", o.tie_weights);
  keywords.take("head_bias", o.head_bias);
  keywords.take("scale_logits", o.scale_logits);
  const auto seed = keywords.take_seed();
  keywords.end();
  return Made{std::tuple(o), seed};
}

// What came with later models stands there only where it is not what the paper has.
py::dict config(const Transformer& self) {
  const TransformerOptions &o = self.options(), plain;
  py::dict d;
  d["d_model"] = o.layer.d_model, d["nhead"] = o.layer.num_heads;
  d["num_encoder_layers"] = o.num_encoder_layers, d["num_decoder_layers"] = o.num_decoder_layers;
  d["dff"] = o.layer.dff, d["input_vocab_size"] = o.input_vocab_size, d["target_vocab_size"] = o.target_vocab_size;
  d["max_len"] = o.max_len, d["pad_id"] = o.pad_id;
  put_layer_options(d, o.layer);
  if (o.decoder_nhead != 0) d["decoder_nhead"] = o.decoder_nhead;
  if (o.decoder_dff != 0) d["decoder_dff"] = o.decoder_dff;
  if (o.positions != plain.positions) d["positions"] = o.positions;
  if (o.num_buckets != plain.num_buckets) d["num_buckets"] = o.num_buckets;
  if (o.max_distance != plain.max_distance) d["max_distance"] = o.max_distance;
  if (!o.scale_embeddings) d["scale_embeddings"] = false;
  if (o.shared_embeddings) d["shared_embeddings"] = true;
  if (o.embed_padding) d["embed_padding"] = true;
  if (o.tie_weights) d["tie_weights"] = true;
  if (o.head_bias) d["head_bias"] = *o.head_bias;
  if (o.scale_logits) d["scale_logits"] = true;
  return d;
}

Tensor ids_of(Object ids, const char* name) { return to_tensor(ids, kOp, name, Want::kAny, Memory::kCopy); }

Tensor mask_of(Object mask) {
  return mask.is_none() ? Tensor() : to_tensor(mask, kOp, "src_mask", Want::kAny, Memory::kCopy);
}

py::object model_output(const models::TransformerOutput& r, nn::Wanted wanted) {
  const py::object output = py::module_::import("attendo.models._output").attr("EncoderDecoderOutput");
  return output(r.logits, r.encoder.out, r.decoder.out, tuple_of(r.encoder.hidden, wanted.hidden),
                tuple_of(r.decoder.hidden, wanted.hidden), tuple_of(r.encoder.weights, wanted.weights),
                tuple_of(r.decoder.weights, wanted.weights), tuple_of(r.decoder.cross_weights, wanted.weights));
}

py::object cross_attention(Transformer& self, Object src, Object tgt, Object src_mask) {
  const Tensor s = ids_of(src, "src"), t = ids_of(tgt, "tgt"), mask = mask_of(src_mask);
  const NoGrad no_grad;
  const Tensors weights =
      without_gil([&] { return self.outputs(s, t, mask, {.weights = true}).decoder.cross_weights; });
  py::list layers;
  for (const Tensor& w : weights) layers.append(to_numpy(w, false));
  if (!layers.empty()) return py::module_::import("numpy").attr("stack")(layers);
  const nn::LayerOptions layer = self.options().decoder_layer();
  return to_numpy(Tensor::empty({0, s.dim(0), layer.num_heads, t.dim(1), s.dim(1)}, layer.dtype), true);
}

struct Translation : TranslationStart {
  Tensor src, src_mask;

  std::unique_ptr<models::DecodeState> begin(Transformer& model) const {
    return model.begin(src, src_mask, bos_id, options);
  }
};

Translation translation(Object model, const char* op, Object src, Object bos_id, Object max_len, Object src_mask,
                        const py::kwargs& given) {
  const models::TransformerOptions& o = py::cast<const Transformer&>(model).options();
  const Tensor s = ids_of(padded_lists(op, "src", src, o.pad_id), "src"), mask = mask_of(src_mask);
  check_rank("Transformer", "src", s, 2, "(batch, length)");
  const Index most = max_len.is_none() ? o.max_len : index_arg(op, "max_len", max_len);
  return {translation_start(op, model, bos_id, most, given, s.dim(0), o.target_vocab_size, o.pad_id), s, mask};
}

}  // namespace

void bind_transformer(py::module_& m) {
  const auto none = py::none();
  py::classh<Transformer, nn::Module, PyLayer<Transformer>>(
      m, "Transformer", "Encoder, decoder and a linear layer to the target vocabulary.", collectable())
      .def(layer_init<Transformer>(+parse), py::arg("d_model"), py::arg("nhead"), py::arg("num_encoder_layers"),
           py::arg("num_decoder_layers"), py::arg("dff"), py::arg("input_vocab_size"), py::arg("target_vocab_size"),
           py::arg("max_len"))
      .def_property_readonly("config", config, "The constructor's arguments.")
      .def(
          "forward",
          [](Transformer& self, Object src, Object tgt, Object src_mask) {
            const Tensor s = ids_of(src, "src"), t = ids_of(tgt, "tgt"), mask = mask_of(src_mask);
            return without_gil([&] { return self(s, t, mask); });
          },
          py::arg("src"), py::arg("tgt"), py::kw_only(), py::arg("src_mask") = none)
      .def(
          "outputs",
          [](Transformer& self, Object src, Object tgt, Object src_mask, bool hidden_states, bool attentions) {
            const Tensor s = ids_of(src, "src"), t = ids_of(tgt, "tgt"), mask = mask_of(src_mask);
            const nn::Wanted wanted{attentions, hidden_states};
            return model_output(without_gil([&] { return self.outputs(s, t, mask, wanted); }), wanted);
          },
          py::arg("src"), py::arg("tgt"), py::kw_only(), py::arg("src_mask") = none, py::arg("hidden_states") = false,
          py::arg("attentions") = false)
      .def(
          "encode",
          [](Transformer& self, Object src, Object src_mask) {
            const Tensor s = ids_of(src, "src"), mask = mask_of(src_mask);
            return without_gil([&] { return self.encode(s, mask); });
          },
          py::arg("src"), py::kw_only(), py::arg("src_mask") = none, "The encoder's output, (B, S, d_model).")
      .def("cross_attention", cross_attention, py::arg("src"), py::arg("tgt"), py::kw_only(),
           py::arg("src_mask") = none, "Where each target position looks in the source, (layers, B, H, T, S).")
      .def(
          "translate",
          [](Object model, Object src, Object bos_id, Object max_len, Object src_mask, const py::kwargs& given) {
            auto& self = py::cast<Transformer&>(model);
            const Translation t = translation(model, "translate", src, bos_id, max_len, src_mask, given);
            return decoded_result(t.options, without_bos(without_gil([&] {
                                    return models::decode(t.begin(self), t.prompts, t.options, check_signals);
                                  })));
          },
          py::arg("src"), py::kw_only(), py::arg("bos_id") = none, py::arg("max_len") = none,
          py::arg("src_mask") = none, "Ids (rows, T) without bos, each row up to and with eos_id, then padding.")
      .def(
          "generate",
          [](Object model, Object src, Object max_new_tokens, Object bos_id, Object src_mask, const py::kwargs& given) {
            auto& self = py::cast<Transformer&>(model);
            const Translation t = translation(model, "generate", src, bos_id, max_new_tokens, src_mask, given);
            return decoded_result(t.options, without_gil([&] {
                                    return models::decode(t.begin(self), t.prompts, t.options, check_signals);
                                  }));
          },
          py::arg("src"), py::kw_only(), py::arg("max_new_tokens"), py::arg("bos_id") = none,
          py::arg("src_mask") = none, "The same with bos before it, ids (rows, 1 + T).")
      .def(
          "stream",
          [](const py::object& model, Object src, Object bos_id, Object max_len, Object src_mask,
             const py::kwargs& given) {
            auto& self = py::cast<Transformer&>(model);
            const Translation t = translation(model, "stream", src, bos_id, max_len, src_mask, given);
            return std::make_unique<TokenStream>(
                TokenStream{models::Generation(t.begin(self), t.prompts, t.options), model});
          },
          py::arg("src"), py::kw_only(), py::arg("bos_id") = none, py::arg("max_len") = none,
          py::arg("src_mask") = none, "The tokens of each step, as they come.");
}

}  // namespace attendo::bindings
