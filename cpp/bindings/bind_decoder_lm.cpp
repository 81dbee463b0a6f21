#include "bindings/convert.h"
#include "bindings/decoding.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "models/decoder_lm.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::DecoderLM;
using models::DecoderLMOptions;

constexpr const char* kOp = "DecoderLM";

auto parse(Object vocab_size, Object d_model, Object num_heads, Object num_layers, Object max_len,
           const py::kwargs& rest) {
  DecoderLMOptions o;
  o.vocab_size = index_arg(kOp, "vocab_size", vocab_size);
  o.layer.d_model = index_arg(kOp, "d_model", d_model), o.layer.num_heads = index_arg(kOp, "num_heads", num_heads);
  o.num_layers = index_arg(kOp, "num_layers", num_layers), o.max_len = index_arg(kOp, "max_len", max_len);
  Keywords keywords(kOp, rest);
  o.layer.dff = 4 * std::min(o.layer.d_model, Index{1} << 60);
  keywords.take("dff", o.layer.dff);
  take_layer_options(keywords, o.layer);
  take_rotary(keywords, o.rotary);
  keywords.take("positions", o.positions);
  keywords.take("tie_weights", o.tie_weights);
  keywords.take("head_bias", o.head_bias);
  keywords.take("scale_embeddings", o.scale_embeddings);
  py::object window = py::none();
  keywords.take("window", window);
  if (has_length(window)) {
    if (py::len(window) == 0) value_error(kOp, ": window is empty but must have a number for each layer");
    for (const py::handle one : window) o.windows.push_back(one.is_none() ? 0 : index_arg(kOp, "window", one));
  } else {
    keywords.take_size("window", o.layer.window);
  }
  const auto seed = keywords.take_seed();
  keywords.end();
  return Made{std::tuple(o), seed};
}

py::dict config(const DecoderLM& self) {
  const DecoderLMOptions& o = self.options();
  py::dict d;
  d["vocab_size"] = o.vocab_size, d["d_model"] = o.layer.d_model, d["num_heads"] = o.layer.num_heads;
  d["num_layers"] = o.num_layers, d["max_len"] = o.max_len, d["dff"] = o.layer.dff;
  d["positions"] = o.positions, d["tie_weights"] = o.tie_weights;
  put_layer_options(d, o.layer);
  put_rotary(d, o.rotary);
  if (!o.head_bias) d["head_bias"] = false;
  if (!o.scale_embeddings) d["scale_embeddings"] = false;
  if (o.layer.window > 0) d["window"] = o.layer.window;
  if (!o.windows.empty()) d["window"] = py::cast(o.windows);
  return d;
}

Tensor ids_of(Object ids) { return to_tensor(ids, kOp, "ids", Want::kAny, Memory::kCopy); }

py::object model_output(const models::LMOutput& r, nn::Wanted wanted) {
  const py::object output = py::module_::import("attendo.models._output").attr("ModelOutput");
  return output(r.logits, r.last_hidden, tuple_of(r.hidden, wanted.hidden), tuple_of(r.attentions, wanted.weights));
}

}  // namespace

void bind_decoder_lm(py::module_& m) {
  py::classh<DecoderLM, nn::Module, PyLayer<DecoderLM>>(
      m, "DecoderLM", "A causal stack that predicts the next token of each position.", collectable())
      .def(layer_init<DecoderLM>(+parse), py::arg("vocab_size"), py::arg("d_model"), py::arg("num_heads"),
           py::arg("num_layers"), py::arg("max_len"))
      .def_property_readonly("config", config, "The constructor's arguments.")
      .def(
          "forward",
          [](DecoderLM& self, Object ids) {
            const Tensor x = ids_of(ids);
            return without_gil([&] { return self(x); });
          },
          py::arg("ids"))
      .def(
          "outputs",
          [](DecoderLM& self, Object ids, bool hidden_states, bool attentions) {
            const Tensor x = ids_of(ids);
            const nn::Wanted wanted{attentions, hidden_states};
            return model_output(without_gil([&] { return self.outputs(x, wanted); }), wanted);
          },
          py::arg("ids"), py::kw_only(), py::arg("hidden_states") = false, py::arg("attentions") = false)
      .def(
          "generate",
          [](const py::object& model, Object ids, Object lengths, const py::kwargs& given) {
            auto& self = py::cast<DecoderLM&>(model);
            const models::Prompts prompts = prompts_arg("generate", ids, lengths);
            add_special_ids(model, given, self.options().vocab_size);
            const models::DecodeOptions o = decode_options("generate", given, prompts.batch());
            return decoded_result(
                o, without_gil([&] { return models::decode(self.begin(prompts, o), prompts, o, check_signals); }));
          },
          py::arg("ids"), py::kw_only(), py::arg("lengths") = py::none(),
          "Continuations: ids (rows, T), the given ones first.")
      .def(
          "stream",
          [](const py::object& model, Object ids, Object lengths, const py::kwargs& given) {
            auto& self = py::cast<DecoderLM&>(model);
            const models::Prompts prompts = prompts_arg("stream", ids, lengths);
            add_special_ids(model, given, self.options().vocab_size);
            const models::DecodeOptions o = decode_options("stream", given, prompts.batch());
            return std::make_unique<TokenStream>(
                TokenStream{models::Generation(self.begin(prompts, o), prompts, o), model});
          },
          py::arg("ids"), py::kw_only(), py::arg("lengths") = py::none(), "The tokens of each step, as they come.");
}

}  // namespace attendo::bindings
