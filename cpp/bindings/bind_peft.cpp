// Fine-tuning of few parameters: low-rank updates, prefixes, adapters.
#include <set>

#include "bindings/convert.h"
#include "nn/adapter.h"
#include "nn/kv_prefix.h"
#include "nn/lora.h"
#include "nn/multi_head_attention.h"
#include "ops/linear.h"
#include "ops/lora.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using nn::Module;

// What low-rank updates may be given: (path of the module, name of its matrix, shape). Each matrix once; none that a table of
// embeddings shares, since a row of that is read without a product.
py::list low_rank_places(Module& model) {
  std::set<const TensorImpl*> looked_up;
  const auto modules = model.named_modules();
  for (const auto& [path, module] : modules) {
    if (const auto* table = dynamic_cast<nn::Embedding*>(module)) looked_up.insert(table->weight().impl().get());
  }
  py::list out;
  std::set<std::pair<const TensorImpl*, Index>> seen;
  for (const auto& [path, module] : modules) {
    for (const nn::LinearRows& rows : nn::linear_rows(*module)) {
      const TensorImpl* matrix = rows.matrix.impl().get();
      if (looked_up.contains(matrix) || !seen.insert({matrix, rows.begin}).second) continue;
      out.append(py::make_tuple(path, rows.name, py::make_tuple(rows.end - rows.begin, rows.matrix.dim(1))));
    }
  }
  return out;
}

void check_free(const char* op, Module& owner, const char* name) {
  if (owner.child<Module>(name)) {
    value_error(op, ": ", owner.type_name(), " has a module '", name, "' already: merge or remove it first");
  }
}

}  // namespace

void bind_peft(py::module_& m) {
  const auto none = py::none();
  py::classh<nn::LoRA, Module>(m, "LoRA", "A low-rank update of a matrix of the module it is part of.", collectable())
      .def_property_readonly("matrix", &nn::LoRA::matrix, "Name of the matrix.")
      .def_property_readonly("rank", &nn::LoRA::rank)
      .def_property_readonly("alpha", &nn::LoRA::alpha)
      .def_property_readonly("dropout", &nn::LoRA::dropout)
      .def(
          "forward",
          [](nn::LoRA& self, Object x) {
            const Tensor in = to_tensor(x, "LoRA", "x", Want::kAny, Memory::kCopy);
            return without_gil([&] { return self.forward({in})[0]; });
          },
          py::arg("x"));
  py::classh<nn::KVPrefix, Module>(m, "KVPrefix", "Trained keys and values of an attention layer.", collectable())
      .def_property_readonly("length", &nn::KVPrefix::length);
  py::classh<nn::Adapter, Module>(m, "Adapter", "A narrow network behind a frozen layer.", collectable())
      .def_property_readonly("bottleneck", &nn::Adapter::bottleneck)
      .def_property_readonly("activation", &nn::Adapter::activation)
      .def("forward", call_tensor<nn::Adapter>("Adapter"), py::arg("x"));

  m.def("_low_rank_places", &low_rank_places, py::arg("model"), "What low-rank updates may be given.");
  m.def(
      "_attach_lora",
      [](Module& owner, const std::string& matrix, Object rank, Object alpha, Object dropout, Object seed,
         std::uint64_t place) {
        const auto start = seed_arg("lora", seed);
        const auto lora = nn::attach_lora(owner, matrix, index_arg("lora", "rank", rank),
                                          number_arg("lora", "alpha", alpha), number_arg("lora", "dropout", dropout));
        if (start) lora->reset_parameters(mix_seed(*start, place));
        return lora;
      },
      py::arg("owner"), py::arg("matrix"), py::arg("rank"), py::arg("alpha"), py::arg("dropout"),
      py::arg("seed") = none, py::arg("place") = 0, "Give a matrix a low-rank update.");
  m.def(
      "_detach_lora",
      [](Module& owner, const std::string& matrix, bool merge) { nn::detach_lora(owner, matrix, merge); },
      py::arg("owner"), py::arg("matrix"), py::arg("merge"), "Take it off, or add it to the matrix.");
  m.def(
      "_attach_prefix",
      [](nn::MultiHeadAttention& owner, Object length, Object seed, std::uint64_t place) {
        check_free("prefix", owner, "prefix");
        const auto start = seed_arg("prefix", seed);
        const HeadShape s = owner.shape();
        const auto prefix = std::make_shared<nn::KVPrefix>(
            index_arg("prefix", "length", length), s.kv_heads * s.head_dim, s.kv_heads * s.value_dim, owner.dtype());
        if (start) prefix->reset_parameters(mix_seed(*start, place));
        owner.attach_module("prefix", prefix);
        return prefix;
      },
      py::arg("owner"), py::arg("length"), py::arg("seed") = none, py::arg("place") = 0,
      "Give an attention layer a prefix.");
  m.def(
      "_attach_adapter",
      [](Module& owner, Object bottleneck, const std::string& activation, Object seed, std::uint64_t place) {
        constexpr const char* kOp = "adapters";
        check_free(kOp, owner, "adapter");
        const auto start = seed_arg(kOp, seed);
        Index features = 0;
        DType dtype = DType::kFloat32;
        if (const auto* attention = dynamic_cast<nn::MultiHeadAttention*>(&owner)) {
          features = attention->d_model(), dtype = attention->dtype();
        } else if (const auto* network = dynamic_cast<nn::FeedForward*>(&owner)) {
          features = network->d_model(), dtype = network->dtype();
        } else {
          type_error(kOp, ": ", owner.type_name(), " is neither a MultiHeadAttention nor a FeedForward");
        }
        const auto adapter =
            std::make_shared<nn::Adapter>(features, index_arg(kOp, "bottleneck", bottleneck), activation, dtype);
        if (start) adapter->reset_parameters(mix_seed(*start, place));
        owner.attach_module("adapter", adapter);
        return adapter;
      },
      py::arg("owner"), py::arg("bottleneck"), py::arg("activation"), py::arg("seed") = none, py::arg("place") = 0,
      "Give attention or a feed-forward network an adapter.");
  m.def(
      "_detach", [](Module& owner, const std::string& name) { owner.detach_module(name); }, py::arg("owner"),
      py::arg("name"), "Take off a prefix or an adapter.");

  m.def(
      "lora",
      [](Object x, Object weight, Object a, Object b, Object bias, Object scale) {
        constexpr const char* kOp = "lora";
        const Call call(kOp, {x, weight, a, b, bias});
        const Tensor in = call.tensor(x, "x"), w = call.tensor(weight, "weight"),
                     c = call.optional_tensor(bias, "bias");
        LowRank update{call.tensor(a, "a"), call.tensor(b, "b"), number_arg(kOp, "scale", scale), 0, 0, {}};
        check_linear(kOp, "x", in, "weight", w, "bias", c);
        update.end = w.dim(0);
        return call.result(without_gil([&] { return lora(in, w, c, {update}); }));
      },
      py::arg("x"), py::arg("weight"), py::arg("a"), py::arg("b"), py::arg("bias") = none, py::arg("scale") = 1.0,
      "x times the transpose of weight + scale b a, plus bias.");
}

}  // namespace attendo::bindings
