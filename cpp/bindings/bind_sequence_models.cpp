#include "bindings/convert.h"
#include "bindings/decoding.h"
#include "models/lstm_attention.h"
#include "models/seq2seq.h"
#include "models/sequence_recommender.h"
#include "ops/shape.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::LstmAttention;
using models::LstmAttentionOptions;
using models::Seq2Seq;
using models::Seq2SeqOptions;
using models::SequenceRecommender;
using models::SequenceRecommenderOptions;

// The tape keeps ids: a copy.
Tensor ids_arg(const char* op, const char* name, Object ids) {
  return to_tensor(ids, op, name, Want::kAny, Memory::kCopy);
}
Tensor optional_ids(const char* op, const char* name, Object ids) {
  return ids.is_none() ? Tensor() : ids_arg(op, name, ids);
}

struct Translation : TranslationStart {
  Tensor src;
};

Translation translation(Object model, const char* op, Object src, Object bos_id, Object max_len,
                        const py::kwargs& given) {
  const Seq2SeqOptions& o = py::cast<const Seq2Seq&>(model).options();
  const Tensor s = ids_arg("Seq2Seq", "src", padded_lists(op, "src", src, o.pad_id));
  check_rank("Seq2Seq", "src", s, 2, "(batch, length)");
  const Index most = index_arg(op, "max_len", max_len);
  if (most < 1) value_error(op, ": max_len is ", most, " but must be 1 or more");
  return {translation_start(op, model, bos_id, most, given, s.dim(0), o.target_vocab_size, o.pad_id), s};
}

void bind_seq2seq(py::module_& m) {
  const auto none = py::none();
  py::classh<Seq2Seq, nn::Module, PyLayer<Seq2Seq>>(
      m, "Seq2Seq", "A recurrent encoder, and a recurrent decoder that attends to it.", collectable())
      .def(layer_init<Seq2Seq>(+[](Object input_vocab, Object target_vocab, Object embedding_dim, Object hidden_size,
                                   Object num_layers, const std::string& cell, const std::string& attention,
                                   const std::optional<std::string>& score, bool input_feeding, bool bidirectional,
                                   Object dropout, Object pad_id, Object dtype, Object seed) {
             const char* op = "Seq2Seq";
             Seq2SeqOptions o;
             o.input_vocab_size = index_arg(op, "input_vocab_size", input_vocab);
             o.target_vocab_size = index_arg(op, "target_vocab_size", target_vocab);
             o.embedding_dim = index_arg(op, "embedding_dim", embedding_dim);
             o.hidden_size = index_arg(op, "hidden_size", hidden_size);
             o.num_layers = index_arg(op, "num_layers", num_layers);
             o.cell = cell, o.attention = attention;
             if (score) {
               if (score->empty())
                 value_error(op, ": score is '' but must be 'dot', 'general', 'concat' or 'additive'");
               o.score = *score;
             }
             o.input_feeding = input_feeding, o.bidirectional = bidirectional;
             o.dropout = number_arg(op, "dropout", dropout);
             o.pad_id = index_arg(op, "pad_id", pad_id);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("input_vocab_size"), py::arg("target_vocab_size"), py::arg("embedding_dim"), py::arg("hidden_size"),
           py::arg("num_layers") = 1, py::kw_only(), py::arg("cell") = "lstm", py::arg("attention") = "bahdanau",
           py::arg("score") = none, py::arg("input_feeding") = false, py::arg("bidirectional") = false,
           py::arg("dropout") = 0.0, py::arg("pad_id") = 0, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly(
          "config",
          [](const Seq2Seq& self) {
            const Seq2SeqOptions& o = self.options();
            py::dict d;
            d["input_vocab_size"] = o.input_vocab_size, d["target_vocab_size"] = o.target_vocab_size;
            d["embedding_dim"] = o.embedding_dim, d["hidden_size"] = o.hidden_size, d["num_layers"] = o.num_layers;
            d["cell"] = o.cell, d["attention"] = o.attention, d["score"] = o.score;
            d["input_feeding"] = o.input_feeding, d["bidirectional"] = o.bidirectional, d["dropout"] = o.dropout;
            d["pad_id"] = o.pad_id, d["dtype"] = dtype_name(o.dtype);
            return d;
          },
          "The constructor's arguments.")
      .def(
          "forward",
          [](Seq2Seq& self, Object src, Object tgt) {
            const Tensor s = ids_arg("Seq2Seq", "src", src), t = ids_arg("Seq2Seq", "tgt", tgt);
            return without_gil([&] { return self(s, t); });
          },
          py::arg("src"), py::arg("tgt"))
      .def(
          "cross_attention",
          [](Seq2Seq& self, Object src, Object tgt) {
            const Tensor s = ids_arg("Seq2Seq", "src", src), t = ids_arg("Seq2Seq", "tgt", tgt);
            const nn::ModeGuard mode(self, false);
            return to_numpy(without_gil([&] { return self.cross_attention(s, t); }), true);
          },
          py::arg("src"), py::arg("tgt"), "Where each target position looks in the source, (B, T, S).")
      .def(
          "translate",
          [](Object model, Object src, Object bos_id, Object max_len, const py::kwargs& given) {
            auto& self = py::cast<Seq2Seq&>(model);
            const Translation t = translation(model, "translate", src, bos_id, max_len, given);
            models::Decoded r = without_gil([&] {
              return models::decode(self.begin(t.src, t.bos_id, t.options), t.prompts, t.options, check_signals);
            });
            const NoGrad no_grad;
            r.ids = take(r.ids, 1, 1, r.ids.dim(1));  // without bos
            return decoded_result(t.options, r);
          },
          py::arg("src"), py::kw_only(), py::arg("bos_id"), py::arg("max_len") = 100,
          "Ids (rows, T) without bos, each row up to and with eos_id, then padding.")
      .def(
          "stream",
          [](const py::object& model, Object src, Object bos_id, Object max_len, const py::kwargs& given) {
            auto& self = py::cast<Seq2Seq&>(model);
            const Translation t = translation(model, "stream", src, bos_id, max_len, given);
            return std::make_unique<TokenStream>(
                TokenStream{models::Generation(self.begin(t.src, t.bos_id, t.options), t.prompts, t.options), model});
          },
          py::arg("src"), py::kw_only(), py::arg("bos_id"), py::arg("max_len") = 100,
          "The tokens of each step, as they come.");
}

void bind_lstm_attention(py::module_& m) {
  const auto none = py::none();
  py::classh<LstmAttention, nn::Module, PyLayer<LstmAttention>>(
      m, "LstmAttention", "Embedding, LSTM, attention over time, linear.", collectable())
      .def(layer_init<LstmAttention>(+[](Object vocab_size, Object num_classes, Object embedding_dim,
                                         Object hidden_size, Object num_layers, Object attention_features,
                                         bool bidirectional, Object dropout, Object pad_id, Object dtype, Object seed) {
             const char* op = "LstmAttention";
             LstmAttentionOptions o;
             o.vocab_size = index_arg(op, "vocab_size", vocab_size);
             o.num_classes = index_arg(op, "num_classes", num_classes);
             o.embedding_dim = index_arg(op, "embedding_dim", embedding_dim);
             o.hidden_size = index_arg(op, "hidden_size", hidden_size);
             o.num_layers = index_arg(op, "num_layers", num_layers);
             o.attention_features = index_arg(op, "attention_features", attention_features);
             o.bidirectional = bidirectional;
             o.dropout = number_arg(op, "dropout", dropout);
             o.pad_id = index_arg(op, "pad_id", pad_id);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("vocab_size"), py::arg("num_classes"), py::arg("embedding_dim") = 64, py::arg("hidden_size") = 64,
           py::arg("num_layers") = 1, py::kw_only(), py::arg("attention_features") = 64,
           py::arg("bidirectional") = false, py::arg("dropout") = 0.0, py::arg("pad_id") = 0,
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly(
          "config",
          [](const LstmAttention& self) {
            const LstmAttentionOptions& o = self.options();
            py::dict d;
            d["vocab_size"] = o.vocab_size, d["num_classes"] = o.num_classes;
            d["embedding_dim"] = o.embedding_dim, d["hidden_size"] = o.hidden_size, d["num_layers"] = o.num_layers;
            d["attention_features"] = o.attention_features, d["bidirectional"] = o.bidirectional;
            d["dropout"] = o.dropout, d["pad_id"] = o.pad_id, d["dtype"] = dtype_name(o.dtype);
            return d;
          },
          "The constructor's arguments.")
      .def(
          "forward",
          [](LstmAttention& self, Object ids, Object lengths, bool return_weights) -> py::object {
            const Tensor x = ids_arg("LstmAttention", "ids", ids);
            const Tensor n = optional_ids("LstmAttention", "lengths", lengths);
            const AttentionResult r = without_gil([&] { return self(x, n, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("ids"), py::arg("lengths") = none, py::kw_only(), py::arg("return_weights") = false);
}

void bind_sequence_recommender(py::module_& m) {
  const auto none = py::none();
  py::classh<SequenceRecommender, nn::Module, PyLayer<SequenceRecommender>>(
      m, "SequenceRecommender", "A causal stack over the items so far, that scores the next one.", collectable())
      .def(layer_init<SequenceRecommender>(
               +[](Object num_items, Object d_model, Object num_heads, Object num_layers, Object max_len, Object dff,
                   Object dropout, const std::string& activation, bool norm_first, Object dtype, Object seed) {
                 const char* op = "SequenceRecommender";
                 SequenceRecommenderOptions o;
                 o.num_items = index_arg(op, "num_items", num_items);
                 o.d_model = index_arg(op, "d_model", d_model), o.num_heads = index_arg(op, "num_heads", num_heads);
                 o.num_layers = index_arg(op, "num_layers", num_layers), o.max_len = index_arg(op, "max_len", max_len);
                 o.dff = dff.is_none() ? o.d_model : index_arg(op, "dff", dff);
                 o.dropout = number_arg(op, "dropout", dropout);
                 o.activation = activation, o.norm_first = norm_first;
                 o.dtype = dtype_arg(op, dtype);
                 return Made{std::tuple(o), seed_arg(op, seed)};
               }),
           py::arg("num_items"), py::arg("d_model"), py::arg("num_heads"), py::arg("num_layers"), py::arg("max_len"),
           py::kw_only(), py::arg("dff") = none, py::arg("dropout") = 0.2, py::arg("activation") = "relu",
           py::arg("norm_first") = true, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly(
          "config",
          [](const SequenceRecommender& self) {
            const SequenceRecommenderOptions& o = self.options();
            py::dict d;
            d["num_items"] = o.num_items, d["d_model"] = o.d_model, d["num_heads"] = o.num_heads;
            d["num_layers"] = o.num_layers, d["max_len"] = o.max_len, d["dff"] = o.dff, d["dropout"] = o.dropout;
            d["activation"] = o.activation, d["norm_first"] = o.norm_first, d["dtype"] = dtype_name(o.dtype);
            return d;
          },
          "The constructor's arguments.")
      .def(
          "forward",
          [](SequenceRecommender& self, Object items, Object candidates) {
            const Tensor x = ids_arg("SequenceRecommender", "items", items);
            const Tensor c = optional_ids("SequenceRecommender", "candidates", candidates);
            return without_gil([&] { return self(x, c); });
          },
          py::arg("items"), py::arg("candidates") = none)
      .def(
          "recommend",
          [](SequenceRecommender& self, Object items, Object k, bool exclude_seen) {
            const Tensor x = ids_arg("recommend", "items", items);
            const Index count = index_arg("recommend", "k", k);
            const nn::ModeGuard mode(self, false);
            const auto [ids, scores] = without_gil([&] { return self.recommend(x, count, exclude_seen); });
            return py::make_tuple(to_numpy(ids, true), to_numpy(scores, true));
          },
          py::arg("items"), py::arg("k") = 10, py::kw_only(), py::arg("exclude_seen") = true,
          "Ids and scores of the k best items after each row, best first.");
}

}  // namespace

void bind_sequence_models(py::module_& m) {
  bind_seq2seq(m);
  bind_lstm_attention(m);
  bind_sequence_recommender(m);
}

}  // namespace attendo::bindings
