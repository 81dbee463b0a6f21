#include "bindings/convert.h"
#include "nn/additive_pooling.h"
#include "nn/attention.h"
#include "nn/attention_layer.h"
#include "nn/attention_pooling.h"
#include "nn/cross_modal_attention.h"
#include "nn/luong_attention.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

py::object with_weights(const AttentionResult& r, bool return_weights) {
  if (!return_weights) return py::cast(r.out);
  return py::make_tuple(r.out, r.weights);
}

void bind_feature_attention(py::module_& m) {
  using nn::Attention;
  py::classh<Attention, Module, PyLayer<Attention>>(m, "Attention", "W_Q, W_K, W_V, attention over the positions, fc.",
                                                    collectable())
      .def(layer_init<Attention>(+[](Object i, Object o, Object dtype, Object seed) {
             return Made{std::tuple(index_arg("Attention", "in_features", i), index_arg("Attention", "out_features", o),
                                    dtype_arg("Attention", dtype)),
                         seed_arg("Attention", seed)};
           }),
           py::arg("in_features"), py::arg("out_features"), py::kw_only(), py::arg("dtype") = "float32",
           py::arg("seed") = py::none())
      .def(
          "forward",
          [](Attention& self, Object x, Object mask, bool return_weights) {
            const Tensor in = to_tensor(x, "Attention", "x", Want::kFloat, Memory::kCopy);
            check_float("Attention", "x", in);
            check_rank("Attention", "x", in, 3, "(batch, length, features)");
            AttentionOptions options;
            mask_arg(options, "Attention", mask, py::none(), in.dim(0), 1, in.dim(1), in.dim(1));
            return with_weights(without_gil([&] { return self(in, options, return_weights); }), return_weights);
          },
          py::arg("x"), py::kw_only(), py::arg("mask") = py::none(), py::arg("return_weights") = false);
}

// forward(query, memory, mask) of the two layers that attend to an encoder's states.
template <typename Layer>
auto memory_forward(const char* op) {
  return [op](Layer& self, Object query, Object memory, Object mask, bool return_weights) {
    const Tensor q = to_tensor(query, op, "query", Want::kFloat, Memory::kCopy);
    const Tensor k = to_tensor(memory, op, "memory", Want::kFloat, Memory::kCopy);
    check_rank(op, "memory", k, 3, "(batch, length, features)");
    if (q.rank() != 2) check_rank(op, "query", q, 3, "(batch, features) or (batch, length, features)");
    AttentionOptions options;
    mask_arg(options, op, mask, py::none(), q.dim(0), 1, q.rank() == 3 ? q.dim(1) : 1, k.dim(1));
    return with_weights(without_gil([&] { return self(q, k, options, return_weights); }), return_weights);
  };
}

void bind_memory_attention(py::module_& m) {
  const auto none = py::none();
  using nn::AdditiveAttention;
  py::classh<AdditiveAttention, Module, PyLayer<AdditiveAttention>>(
      m, "AdditiveAttention", "Bahdanau's attention to an encoder's states.", collectable())
      .def(layer_init<AdditiveAttention>(+[](Object q, Object k, Object units, bool bias, Object dtype, Object seed) {
             const char* op = "AdditiveAttention";
             return Made{std::tuple(index_arg(op, "query_dim", q), index_arg(op, "memory_dim", k),
                                    index_arg(op, "units", units), bias, dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("query_dim"), py::arg("memory_dim"), py::arg("units"), py::kw_only(), py::arg("bias") = false,
           py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", memory_forward<AdditiveAttention>("AdditiveAttention"), py::arg("query"), py::arg("memory"),
           py::kw_only(), py::arg("mask") = none, py::arg("return_weights") = true);
  using nn::LuongAttention;
  py::classh<LuongAttention, Module, PyLayer<LuongAttention>>(m, "LuongAttention", "Luong's attentional vector.",
                                                              collectable())
      .def(layer_init<LuongAttention>(+[](Object query_dim, Object memory_dim, Object out_features,
                                          const std::string& score, Object units, Object dtype, Object seed) {
             const char* op = "LuongAttention";
             nn::LuongOptions o;
             o.query_dim = index_arg(op, "query_dim", query_dim);
             o.memory_dim = memory_dim.is_none() ? o.query_dim : index_arg(op, "memory_dim", memory_dim);
             o.out_features = out_features.is_none() ? o.query_dim : index_arg(op, "out_features", out_features);
             o.score = score;
             o.units = units.is_none() ? o.query_dim : index_arg(op, "units", units);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("query_dim"), py::arg("memory_dim") = none, py::kw_only(), py::arg("out_features") = none,
           py::arg("score") = "general", py::arg("units") = none, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def("forward", memory_forward<LuongAttention>("LuongAttention"), py::arg("query"), py::arg("memory"),
           py::kw_only(), py::arg("mask") = none, py::arg("return_weights") = true);
}

// A bool array (B, n) or a Mask over the keys alone.
Tensor position_mask(const char* op, const char* arg, Object mask, Index batch, Index n) {
  if (mask.is_none()) return {};
  const auto expression = mask_expression(mask);
  if (!expression) {
    if (PyCallable_Check(mask.ptr()) != 0 && !is_tensor(mask)) {
      type_error(op, ": ", arg, " is a function; call it, as in mask=attendo.masks.lengths([3, 5])");
    }
    const Tensor x = to_tensor(mask, op, arg, Want::kAny, Memory::kCopy);
    if (x.dtype() != DType::kBool) {
      type_error(op, ": ", arg, " has dtype ", dtype_name(x.dtype()), " but must be bool (True = counts)");
    }
    if (!(x.shape() == Shape{batch, n})) {
      value_error(op, ": ", arg, " has shape ", x.shape(), " but must be (", batch, ", ", n, ")");
    }
    return x;
  }
  if (expression->counts_positions() != nullptr) {
    value_error(op, ": ", arg, " depends on the queries, but must say which positions count, as lengths does");
  }
  return to_tensor(mask.attr("dense")(batch, 1, 1, n), op, arg, Want::kAny, Memory::kCopy).view({batch, n});
}

py::object attention_layer_forward(nn::AttentionLayer& self, Object inputs, Object mask, bool use_causal_mask,
                                   bool return_weights) {
  const char* op = "AttentionLayer";
  const bool is_list = py::isinstance<py::list>(inputs) || py::isinstance<py::tuple>(inputs);
  Tensor query, value, key;
  auto input = [op](Object x, const char* name) { return to_tensor(x, op, name, Want::kFloat, Memory::kCopy); };
  py::object masks[2] = {py::none(), py::none()};
  if (is_list) {
    const auto items = py::reinterpret_borrow<py::sequence>(inputs);
    if (items.size() != 2 && items.size() != 3) {
      value_error(op, ": inputs has ", items.size(), " entries but must be [query, value] or [query, value, key]");
    }
    query = input(py::object(items[0]), "query");
    value = input(py::object(items[1]), "value");
    key = items.size() == 3 ? input(py::object(items[2]), "key") : value;
  } else {
    query = value = key = input(inputs, "inputs");
  }
  for (const auto& [name, x] : {std::pair{"query", &query}, std::pair{"value", &value}, std::pair{"key", &key}}) {
    check_rank(op, is_list ? name : "inputs", *x, 3, "(batch, length, features)");
  }
  const bool two = py::isinstance<py::list>(mask) || py::isinstance<py::tuple>(mask);
  if (two) {
    if (py::len(mask) != 2) value_error(op, ": mask has ", py::len(mask), " entries but must be [query, value]");
    const auto items = py::reinterpret_borrow<py::sequence>(mask);
    masks[0] = items[0], masks[1] = items[1];
  } else {
    masks[1] = mask;
  }
  const Tensor query_mask = position_mask(op, "mask of query", masks[0], query.dim(0), query.dim(1));
  const Tensor value_mask = position_mask(op, two ? "mask of value" : "mask", masks[1], query.dim(0), value.dim(1));
  AttentionOptions options;
  options.causal = use_causal_mask;
  if (use_causal_mask && query.dim(1) != value.dim(1)) {
    value_error(op, ": use_causal_mask over ", query.dim(1), " queries and ", value.dim(1),
                " values: they must be as many, or nothing says which begins where");
  }
  return with_weights(
      without_gil([&] { return self(query, value, key, query_mask, value_mask, options, return_weights); }),
      return_weights);
}

void bind_keras_attention(py::module_& m) {
  using nn::AttentionLayer;
  py::classh<AttentionLayer, Module, PyLayer<AttentionLayer>>(m, "AttentionLayer", "Attention in the manner of Keras.",
                                                              collectable())
      .def(layer_init<AttentionLayer>(+[](Object features, const std::string& score_mode, bool use_scale,
                                          Object dropout, Object dtype, Object seed) {
             const char* op = "AttentionLayer";
             return Made{std::tuple(index_arg(op, "features", features), score_mode, use_scale,
                                    number_arg(op, "dropout", dropout), dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("features"), py::kw_only(), py::arg("score_mode") = "dot", py::arg("use_scale") = true,
           py::arg("dropout") = 0.0, py::arg("dtype") = "float32", py::arg("seed") = py::none())
      .def("forward", &attention_layer_forward, py::arg("inputs"), py::arg("mask") = py::none(), py::kw_only(),
           py::arg("use_causal_mask") = false, py::arg("return_weights") = false);
}

// Padding of what is attended to: bool (B, n), or any Mask.
AttentionOptions padding(const char* op, const char* arg, Object mask, Index batch, Index heads, Index length,
                         Index keys) {
  AttentionOptions options;
  if (mask_expression(mask)) {
    mask_arg(options, op, mask, py::none(), batch, heads, length, keys);
  } else if (const Tensor x = position_mask(op, arg, mask, batch, keys)) {
    options.mask = x.view({batch, 1, 1, keys});
  }
  return options;
}

void bind_attention_pooling(py::module_& m) {
  using nn::AttentionPooling;
  py::classh<AttentionPooling, Module, PyLayer<AttentionPooling>>(
      m, "AttentionPooling", "Learned queries attend to a sequence.", collectable())
      .def(layer_init<AttentionPooling>(+[](Object d_model, Object num_heads, Object num_queries, Object dropout,
                                            bool bias, Object dtype, Object seed) {
             const char* op = "AttentionPooling";
             const Index queries = num_queries.is_none() ? 0 : index_arg(op, "num_queries", num_queries);
             if (!num_queries.is_none() && queries < 1) {
               value_error(op, ": num_queries is ", queries, " but must be 1 or more, or None");
             }
             return Made{std::tuple(index_arg(op, "d_model", d_model), index_arg(op, "num_heads", num_heads), queries,
                                    number_arg(op, "dropout", dropout), bias, dtype_arg(op, dtype)),
                         seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("num_heads") = 1, py::arg("num_queries") = py::none(), py::kw_only(),
           py::arg("dropout") = 0.0, py::arg("bias") = true, py::arg("dtype") = "float32", py::arg("seed") = py::none())
      .def(
          "forward",
          [](AttentionPooling& self, Object x, Object mask, bool return_weights) {
            const char* op = "AttentionPooling";
            const Tensor in = to_tensor(x, op, "x", Want::kFloat, Memory::kCopy);
            check_rank(op, "x", in, 3, "(batch, length, features)");
            const Index queries = self.own_parameters()[0].second.dim(0);
            const AttentionOptions options = padding(op, "mask", mask, in.dim(0), self.num_heads(), queries, in.dim(1));
            return with_weights(without_gil([&] { return self(in, options, return_weights); }), return_weights);
          },
          py::arg("x"), py::kw_only(), py::arg("mask") = py::none(), py::arg("return_weights") = false);
}

void bind_additive_pooling(py::module_& m) {
  using nn::AdditivePooling;
  py::classh<AdditivePooling, Module, PyLayer<AdditivePooling>>(
      m, "AdditivePooling", "A sum weighted by a score of each position.", collectable())
      .def(layer_init<AdditivePooling>(+[](Object d_model, Object units, Object dtype, Object seed) {
             const char* op = "AdditivePooling";
             return Made{
                 std::tuple(index_arg(op, "d_model", d_model), index_arg(op, "units", units), dtype_arg(op, dtype)),
                 seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("units"), py::kw_only(), py::arg("dtype") = "float32",
           py::arg("seed") = py::none())
      .def(
          "forward",
          [](AdditivePooling& self, Object x, Object mask, bool return_weights) {
            const char* op = "AdditivePooling";
            const Tensor in = to_tensor(x, op, "x", Want::kFloat, Memory::kCopy);
            check_rank(op, "x", in, 3, "(batch, length, features)");
            AttentionOptions options;
            if (const Tensor counts = position_mask(op, "mask", mask, in.dim(0), in.dim(1))) {
              options.mask = counts.view({in.dim(0), 1, in.dim(1)});
            }
            return with_weights(without_gil([&] { return self(in, options, return_weights); }), return_weights);
          },
          py::arg("x"), py::kw_only(), py::arg("mask") = py::none(), py::arg("return_weights") = false);
}

void bind_cross_modal(py::module_& m) {
  const auto none = py::none();
  using nn::CrossModalAttention;
  py::classh<CrossModalAttention, Module, PyLayer<CrossModalAttention>>(
      m, "CrossModalAttention", "Two modalities, each of which attends to the other.", collectable())
      .def(layer_init<CrossModalAttention>(+[](Object d_model, Object num_heads, Object text_dim, Object image_dim,
                                               Object dropout, Object dtype, Object seed) {
             const char* op = "CrossModalAttention";
             nn::CrossModalOptions o;
             o.d_model = index_arg(op, "d_model", d_model);
             o.num_heads = index_arg(op, "num_heads", num_heads);
             o.text_dim = text_dim.is_none() ? o.d_model : index_arg(op, "text_dim", text_dim);
             o.image_dim = image_dim.is_none() ? o.d_model : index_arg(op, "image_dim", image_dim);
             o.dropout = number_arg(op, "dropout", dropout);
             o.dtype = dtype_arg(op, dtype);
             return Made{std::tuple(o), seed_arg(op, seed)};
           }),
           py::arg("d_model"), py::arg("num_heads"), py::kw_only(), py::arg("text_dim") = none,
           py::arg("image_dim") = none, py::arg("dropout") = 0.0, py::arg("dtype") = "float32", py::arg("seed") = none)
      .def(
          "forward",
          [](CrossModalAttention& self, Object text, Object image, Object text_mask, Object image_mask,
             bool return_weights) -> py::object {
            const char* op = "CrossModalAttention";
            const Tensor t = to_tensor(text, op, "text", Want::kFloat, Memory::kCopy);
            const Tensor i = to_tensor(image, op, "image", Want::kFloat, Memory::kCopy);
            check_rank(op, "text", t, 3, "(batch, length, features)");
            check_rank(op, "image", i, 3, "(batch, length, features)");
            const Index b = t.dim(0), heads = self.num_heads();
            const AttentionOptions to_image = padding(op, "image_mask", image_mask, b, heads, t.dim(1), i.dim(1));
            const AttentionOptions to_text = padding(op, "text_mask", text_mask, b, heads, i.dim(1), t.dim(1));
            const nn::CrossModalResult r = without_gil([&] { return self(t, i, to_image, to_text, return_weights); });
            const py::tuple out = py::make_tuple(r.text, r.image);
            if (!return_weights) return out;
            return py::make_tuple(out, py::make_tuple(r.text_weights, r.image_weights));
          },
          py::arg("text"), py::arg("image"), py::kw_only(), py::arg("text_mask") = none, py::arg("image_mask") = none,
          py::arg("return_weights") = true);
}

}  // namespace

void bind_attention_layers(py::module_& m) {
  bind_feature_attention(m);
  bind_attention_pooling(m);
  bind_additive_pooling(m);
  bind_memory_attention(m);
  bind_keras_attention(m);
  bind_cross_modal(m);
}

}  // namespace attendo::bindings
