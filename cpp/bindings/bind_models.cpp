#include "bindings/convert.h"
#include "models/cnn_attention.h"
#include "models/word2vec.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::CnnAttention;
using models::CnnAttentionOptions;

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
  bind_cnn(m);
  bind_word2vec(m);
}

}  // namespace attendo::bindings
