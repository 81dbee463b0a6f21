#include "bindings/convert.h"
#include "models/cnn_attention.h"
#include "models/transformer.h"
#include "models/word2vec.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::CnnAttention;
using models::CnnAttentionOptions;
using models::Transformer;
using models::TransformerOptions;

Tensor ids_of(Object ids, const char* name) { return to_tensor(ids, "Transformer", name, Want::kAny, Memory::kCopy); }

void bind_transformer(py::module_& m) {
  const auto none = py::none();
  py::classh<Transformer, nn::Module, PyLayer<Transformer>>(
      m, "Transformer", "Encoder, decoder and a linear layer to the target vocabulary.", collectable())
      .def(layer_init<Transformer>(+[](Object d_model, Object nhead, Object encoder_layers, Object decoder_layers,
                                       Object dff, Object input_vocab, Object target_vocab, Object max_len,
                                       Object dropout, const std::string& activation, bool norm_first, Object pad_id,
                                       Object dtype, Object seed) {
             const char* op = "Transformer";
             TransformerOptions o;
             o.d_model = index_arg(op, "d_model", d_model), o.nhead = index_arg(op, "nhead", nhead);
             o.num_encoder_layers = index_arg(op, "num_encoder_layers", encoder_layers);
             o.num_decoder_layers = index_arg(op, "num_decoder_layers", decoder_layers);
             o.dff = index_arg(op, "dff", dff);
             o.input_vocab_size = index_arg(op, "input_vocab_size", input_vocab);
             o.target_vocab_size = index_arg(op, "target_vocab_size", target_vocab);
             o.max_len = index_arg(op, "max_len", max_len);
             o.dropout = number_arg(op, "dropout", dropout);
             o.activation = activation, o.norm_first = norm_first;
             o.pad_id = index_arg(op, "pad_id", pad_id);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("nhead"), py::arg("num_encoder_layers"), py::arg("num_decoder_layers"),
           py::arg("dff"), py::arg("input_vocab_size"), py::arg("target_vocab_size"), py::arg("max_len"), py::kw_only(),
           py::arg("dropout") = 0.1, py::arg("activation") = "relu", py::arg("norm_first") = false,
           py::arg("pad_id") = 0, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly(
          "config",
          [](const Transformer& self) {
            const TransformerOptions& o = self.options();
            py::dict d;
            d["d_model"] = o.d_model, d["nhead"] = o.nhead;
            d["num_encoder_layers"] = o.num_encoder_layers, d["num_decoder_layers"] = o.num_decoder_layers;
            d["dff"] = o.dff, d["input_vocab_size"] = o.input_vocab_size, d["target_vocab_size"] = o.target_vocab_size;
            d["max_len"] = o.max_len, d["dropout"] = o.dropout, d["activation"] = o.activation;
            d["norm_first"] = o.norm_first, d["pad_id"] = o.pad_id, d["dtype"] = dtype_name(o.dtype);
            return d;
          },
          "The constructor's arguments.")
      .def(
          "forward",
          [](Transformer& self, Object src, Object tgt) {
            const Tensor s = ids_of(src, "src"), t = ids_of(tgt, "tgt");
            return without_gil([&] { return self(s, t); });
          },
          py::arg("src"), py::arg("tgt"))
      .def(
          "encode",
          [](Transformer& self, Object src) {
            const Tensor s = ids_of(src, "src");
            return without_gil([&] { return self.encode(s); });
          },
          py::arg("src"), "The encoder's output, (B, S, d_model).")
      .def(
          "cross_attention",
          [](Transformer& self, Object src, Object tgt) {
            const Tensor s = ids_of(src, "src"), t = ids_of(tgt, "tgt");
            const NoGrad no_grad;
            const nn::StackResult r = without_gil([&] { return self.with_attention(s, t); });
            py::list layers;
            for (const Tensor& w : r.cross_weights) layers.append(to_numpy(w, false));
            if (layers.empty())
              return py::object(to_numpy(
                  Tensor::empty({0, s.dim(0), self.options().nhead, t.dim(1), s.dim(1)}, self.options().dtype), true));
            return py::module_::import("numpy").attr("stack")(layers);
          },
          py::arg("src"), py::arg("tgt"), "Where each target position looks in the source, (layers, B, H, T, S).")
      .def(
          "translate",
          [](Transformer& self, Object src, Object bos_id, Object eos_id, Object max_len) {
            const Tensor s = ids_of(src, "src");
            const Index bos = index_arg("translate", "bos_id", bos_id), eos = index_arg("translate", "eos_id", eos_id);
            const Index longest =
                max_len.is_none() ? self.options().max_len : index_arg("translate", "max_len", max_len);
            const nn::ModeGuard mode(self, false);
            return to_numpy(without_gil([&] { return self.translate(s, bos, eos, longest, check_signals); }), true);
          },
          py::arg("src"), py::kw_only(), py::arg("bos_id"), py::arg("eos_id"), py::arg("max_len") = none,
          "Greedy decoding: ids (B, T), each row up to and with eos_id, then padding.");
}

void bind_cnn(py::module_& m) {
  const auto none = py::none();
  py::classh<CnnAttention, nn::Module, PyLayer<CnnAttention>>(
      m, "CnnAttention", "Two convolutions, attention over the positions of their map, linear.", collectable())
      .def(layer_init<CnnAttention>(+[](Object in_channels, Object num_classes, Object image_size, Object channels,
                                        Object features, Object attention_features, Object dtype, Object seed) {
             const char* op = "CnnAttention";
             CnnAttentionOptions o;
             o.in_channels = index_arg(op, "in_channels", in_channels),
             o.num_classes = index_arg(op, "num_classes", num_classes);
             std::tie(o.image_height, o.image_width) = pair_arg(op, "image_size", image_size);
             std::tie(o.channels1, o.channels2) = pair_arg(op, "channels", channels);
             o.features = index_arg(op, "features", features);
             o.attention_features = index_arg(op, "attention_features", attention_features);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("in_channels"), py::arg("num_classes"), py::arg("image_size"), py::kw_only(),
           py::arg("channels") = py::make_tuple(64, 128), py::arg("features") = 512,
           py::arg("attention_features") = 256, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly(
          "config",
          [](const CnnAttention& self) {
            const CnnAttentionOptions& o = self.options();
            py::dict d;
            d["in_channels"] = o.in_channels, d["num_classes"] = o.num_classes;
            d["image_size"] = py::make_tuple(o.image_height, o.image_width),
            d["channels"] = py::make_tuple(o.channels1, o.channels2);
            d["features"] = o.features, d["attention_features"] = o.attention_features,
            d["dtype"] = dtype_name(o.dtype);
            return d;
          },
          "The constructor's arguments.")
      .def(
          "forward",
          [](CnnAttention& self, Object images, bool return_weights) -> py::object {
            const Tensor x = to_tensor(images, "CnnAttention", "images", Want::kFloat, Memory::kCopy);
            const AttentionResult r = without_gil([&] { return self(x, return_weights); });
            if (!return_weights) return py::cast(r.out);
            return py::make_tuple(r.out, r.weights);
          },
          py::arg("images"), py::kw_only(), py::arg("return_weights") = false);
}

void bind_word2vec(py::module_& m) {
  using models::Word2Vec;
  using models::Word2VecOptions;
  const auto none = py::none();
  py::classh<Word2Vec, nn::Module, PyLayer<Word2Vec>>(m, "Word2Vec", "Word vectors by negative sampling.",
                                                      collectable())
      .def(layer_init<Word2Vec>(+[](Object vocab_size, Object embedding_dim, const std::string& mode,
                                    Object num_negatives, Object counts, bool sparse, Object dtype, Object seed) {
             const char* op = "Word2Vec";
             if (mode != "skip_gram" && mode != "cbow") {
               value_error(op, ": mode is '", mode, "' but must be 'skip_gram' or 'cbow'");
             }
             Word2VecOptions o;
             o.vocab_size = index_arg(op, "vocab_size", vocab_size);
             o.embedding_dim = index_arg(op, "embedding_dim", embedding_dim);
             o.num_negatives = index_arg(op, "num_negatives", num_negatives);
             o.cbow = mode == "cbow", o.sparse = sparse;
             o.dtype = dtype_arg(op, dtype);
             if (!counts.is_none()) {
               const Tensor c = to_tensor(counts, op, "counts", Want::kAny, Memory::kCopy);
               if (c.dtype() == DType::kBool) type_error(op, ": counts has dtype bool but must be numbers");
               o.counts = c.to(DType::kFloat64);
             }
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("vocab_size"), py::arg("embedding_dim") = 64, py::arg("mode") = "skip_gram", py::kw_only(),
           py::arg("num_negatives") = 5, py::arg("counts") = none, py::arg("sparse") = true,
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def_property_readonly(
          "config",
          [](const Word2Vec& self) {
            const Word2VecOptions& o = self.options();
            py::dict d;
            d["vocab_size"] = o.vocab_size, d["embedding_dim"] = o.embedding_dim;
            d["mode"] = o.cbow ? "cbow" : "skip_gram", d["num_negatives"] = o.num_negatives;
            d["sparse"] = o.sparse, d["dtype"] = dtype_name(o.dtype);
            return d;
          },
          "The constructor's arguments.")
      .def(
          "forward",
          [](Word2Vec& self, Object words, Object targets, Object negatives) {
            const char* op = "Word2Vec";
            const Tensor w = to_tensor(words, op, "words", Want::kAny, Memory::kBorrow),
                         t = to_tensor(targets, op, "targets", Want::kAny, Memory::kBorrow);
            const Tensor n =
                negatives.is_none() ? Tensor() : to_tensor(negatives, op, "negatives", Want::kAny, Memory::kBorrow);
            return without_gil([&] { return self(w, t, n); });
          },
          py::arg("words"), py::arg("targets"), py::arg("negatives") = none)
      .def(
          "draw_negatives",
          [](Word2Vec& self, Object pairs) {
            const Index n = index_arg("draw_negatives", "pairs", pairs);
            if (n < 0) value_error("draw_negatives: pairs is ", n, " but must be 0 or more");
            return to_numpy(self.draw_negatives(n), true);
          },
          py::arg("pairs"), "Words drawn from the noise, (pairs, num_negatives).")
      .def(
          "most_similar",
          [](const Word2Vec& self, Object word_id, Object k) {
            const auto [ids, cosines] =
                self.most_similar(index_arg("most_similar", "word_id", word_id), index_arg("most_similar", "k", k));
            return py::make_tuple(to_numpy(ids, true), to_numpy(cosines, true));
          },
          py::arg("word_id"), py::arg("k") = 10, "Ids and cosines of the nearest words.");
}

}  // namespace

void bind_models(py::module_& m) {
  bind_transformer(m);
  bind_cnn(m);
  bind_word2vec(m);
}

}  // namespace attendo::bindings
