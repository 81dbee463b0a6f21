// Models made of a text encoder: the encoder itself, a masked language model, a classifier.
#include "bindings/convert.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "models/encoder_classifier.h"
#include "models/masked_lm.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::EncoderClassifier;
using models::EncoderClassifierOptions;
using models::MaskedLM;
using models::MaskedLMOptions;
using models::TextEncoder;
using models::TextEncoderOptions;
using models::TextInput;
using models::TextOutput;

TextEncoderOptions text_options(Keywords& keywords, Object vocab_size, Object d_model, Object num_heads,
                                Object num_layers, Object max_len) {
  const char* op = keywords.op();
  TextEncoderOptions o;
  o.vocab_size = index_arg(op, "vocab_size", vocab_size);
  o.layer.d_model = index_arg(op, "d_model", d_model), o.layer.num_heads = index_arg(op, "num_heads", num_heads);
  o.num_layers = index_arg(op, "num_layers", num_layers), o.max_len = index_arg(op, "max_len", max_len);
  o.layer.dff = 4 * std::min(o.layer.d_model, Index{1} << 60);
  keywords.take("dff", o.layer.dff);
  take_layer_options(keywords, o.layer);
  keywords.take("type_vocab_size", o.type_vocab_size);
  keywords.take("positions", o.positions);
  keywords.take("pad_id", o.pad_id);
  keywords.take("pooler", o.pooler);
  return o;
}

py::dict text_config(const TextEncoderOptions& o) {
  py::dict d;
  d["vocab_size"] = o.vocab_size, d["d_model"] = o.layer.d_model, d["num_heads"] = o.layer.num_heads;
  d["num_layers"] = o.num_layers, d["max_len"] = o.max_len, d["dff"] = o.layer.dff;
  d["type_vocab_size"] = o.type_vocab_size, d["positions"] = o.positions;
  put_layer_options(d, o.layer);
  d["norm_eps"] = o.layer.norm_eps;
  if (o.pad_id) d["pad_id"] = *o.pad_id;
  if (o.pooler != "none") d["pooler"] = o.pooler;
  return d;
}

// mask: None, bool (B, L), or attendo.masks.lengths(...).
TextInput input_of(const char* op, Object ids, Object mask, Object token_types) {
  TextInput input;
  input.ids = to_tensor(ids, op, "ids", Want::kAny, Memory::kCopy);
  check_rank(op, "ids", input.ids, 2, "(batch, length)");
  if (!token_types.is_none()) {
    input.token_types = to_tensor(token_types, op, "token_types", Want::kAny, Memory::kCopy);
  }
  if (mask.is_none()) return input;
  const auto known = mask_expression(mask);
  if (!known) {
    input.mask = to_tensor(mask, op, "mask", Want::kAny, Memory::kCopy);
    return input;
  }
  const Index batch = input.ids.dim(0), length = input.ids.dim(1);
  AttentionOptions options;
  known->lower(options, op, {batch, 1, length, length, 0});
  if (!options.key_lengths || has_other_mask(options) || options.causal) {
    value_error(op, ": mask must say which tokens are real: bool (batch, length), or attendo.masks.lengths");
  }
  input.mask = Tensor::empty(input.ids.shape(), DType::kBool);
  for (Index i = 0; i < input.ids.size(); ++i) {
    input.mask.data<bool>()[i] = i % length < options.key_lengths.data<std::int64_t>()[i / length];
  }
  return input;
}

py::object model_output(const Tensor& logits, const TextOutput& r, nn::Wanted wanted) {
  return py::module_::import("attendo.models._output")
      .attr("ModelOutput")(logits, r.last_hidden, tuple_of(r.hidden, wanted.hidden),
                           tuple_of(r.attentions, wanted.weights));
}

// forward(ids, mask, token_types), and outputs(...) by `output`: (model, input, wanted) -> object.
template <typename T, typename Class, typename Output>
void def_calls(Class& model, const char* op, const Output& output) {
  model
      .def(
          "forward",
          [op](T& self, Object ids, Object mask, Object token_types) {
            const TextInput input = input_of(op, ids, mask, token_types);
            return without_gil([&] { return self(input); });
          },
          py::arg("ids"), py::arg("mask") = py::none(), py::arg("token_types") = py::none())
      .def(
          "outputs",
          [op, output](T& self, Object ids, Object mask, Object token_types, bool hidden_states, bool attentions) {
            return output(self, input_of(op, ids, mask, token_types), nn::Wanted{attentions, hidden_states});
          },
          py::arg("ids"), py::arg("mask") = py::none(), py::arg("token_types") = py::none(), py::kw_only(),
          py::arg("hidden_states") = false, py::arg("attentions") = false);
}

}  // namespace

void bind_text_encoder(py::module_& m) {
  py::classh<TextEncoder, nn::Module, PyLayer<TextEncoder>> encoder(
      m, "TextEncoder", "Embeddings and a stack that reads in both directions.", collectable());
  encoder
      .def(layer_init<TextEncoder>(+[](Object vocab_size, Object d_model, Object num_heads, Object num_layers,
                                       Object max_len, const py::kwargs& rest) {
             Keywords keywords("TextEncoder", rest);
             const auto o = text_options(keywords, vocab_size, d_model, num_heads, num_layers, max_len);
             const auto seed = keywords.take_seed();
             keywords.end();
             return Made{std::tuple(o), seed};
           }),
           py::arg("vocab_size"), py::arg("d_model"), py::arg("num_heads"), py::arg("num_layers"), py::arg("max_len"))
      .def_property_readonly(
          "config", [](const TextEncoder& self) { return text_config(self.options()); },
          "The constructor's arguments.");
  def_calls<TextEncoder>(encoder, "TextEncoder", [](TextEncoder& self, const TextInput& input, nn::Wanted wanted) {
    const TextOutput r = without_gil([&] { return self.outputs(input, wanted); });
    const py::object pooled = r.pooled ? py::cast(r.pooled) : py::none();
    return py::module_::import("attendo.models._output")
        .attr("EncoderOutput")(r.last_hidden, pooled, tuple_of(r.hidden, wanted.hidden),
                               tuple_of(r.attentions, wanted.weights));
  });

  encoder.def(
      "_states",
      [](TextEncoder& self, Object ids, Object mask, bool pooled) {
        const TextInput input = input_of("embed", ids, mask, py::none());
        const nn::ModeGuard mode(self, false);
        const NoGrad no_grad;
        const TextOutput r = without_gil([&] { return self.outputs(input, {}); });
        return to_numpy(pooled ? r.pooled : r.last_hidden, true);
      },
      py::arg("ids"), py::arg("mask"), py::arg("pooled"), "For embed: in evaluation mode, without the tape.");

  py::classh<MaskedLM, nn::Module, PyLayer<MaskedLM>> masked(
      m, "MaskedLM", "A text encoder that guesses hidden tokens.", collectable());
  masked
      .def(layer_init<MaskedLM>(+[](Object vocab_size, Object d_model, Object num_heads, Object num_layers,
                                    Object max_len, const py::kwargs& rest) {
             Keywords keywords("MaskedLM", rest);
             MaskedLMOptions o;
             o.text = text_options(keywords, vocab_size, d_model, num_heads, num_layers, max_len);
             keywords.take("head_activation", o.head_activation);
             const auto seed = keywords.take_seed();
             keywords.end();
             return Made{std::tuple(o), seed};
           }),
           py::arg("vocab_size"), py::arg("d_model"), py::arg("num_heads"), py::arg("num_layers"), py::arg("max_len"))
      .def_property_readonly(
          "config",
          [](const MaskedLM& self) {
            py::dict d = text_config(self.options().text);
            d["head_activation"] = self.options().head_activation;
            return d;
          },
          "The constructor's arguments.");
  def_calls<MaskedLM>(masked, "MaskedLM", [](MaskedLM& self, const TextInput& input, nn::Wanted wanted) {
    const models::MaskedLMOutput r = without_gil([&] { return self.outputs(input, wanted); });
    return model_output(r.logits, r.text, wanted);
  });

  py::classh<EncoderClassifier, nn::Module, PyLayer<EncoderClassifier>> classifier(
      m, "EncoderClassifier", "A text encoder, pooling and a linear layer.", collectable());
  classifier
      .def(layer_init<EncoderClassifier>(+[](Object vocab_size, Object d_model, Object num_heads, Object num_layers,
                                             Object max_len, Object num_classes, const py::kwargs& rest) {
             const char* op = "EncoderClassifier";
             Keywords keywords(op, rest);
             EncoderClassifierOptions o;
             o.text = text_options(keywords, vocab_size, d_model, num_heads, num_layers, max_len);
             o.num_classes = index_arg(op, "num_classes", num_classes);
             o.head_dropout = o.text.layer.dropout;
             keywords.take("pooling", o.pooling);
             keywords.take("head_dropout", o.head_dropout);
             const auto seed = keywords.take_seed();
             keywords.end();
             return Made{std::tuple(o), seed};
           }),
           py::arg("vocab_size"), py::arg("d_model"), py::arg("num_heads"), py::arg("num_layers"), py::arg("max_len"),
           py::arg("num_classes"))
      .def_property_readonly(
          "config",
          [](const EncoderClassifier& self) {
            const EncoderClassifierOptions& o = self.options();
            py::dict d = text_config(o.text);
            d["num_classes"] = o.num_classes, d["pooling"] = o.pooling, d["head_dropout"] = o.head_dropout;
            return d;
          },
          "The constructor's arguments.");
  def_calls<EncoderClassifier>(
      classifier, "EncoderClassifier", [](EncoderClassifier& self, const TextInput& input, nn::Wanted wanted) {
        const models::EncoderClassifierOutput r = without_gil([&] { return self.outputs(input, wanted); });
        return model_output(r.logits, r.text, wanted);
      });
}

}  // namespace attendo::bindings
