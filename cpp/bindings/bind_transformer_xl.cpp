#include "bindings/convert.h"
#include "bindings/decoding.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "models/transformer_xl.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::TransformerXL;
using models::TransformerXLOptions;

constexpr const char* kOp = "TransformerXL";

Tensor ids_of(Object ids) { return to_tensor(ids, kOp, "ids", Want::kAny, Memory::kCopy); }

auto parse(Object vocab_size, Object d_model, Object num_heads, Object num_layers, Object memory_length,
           const py::kwargs& rest) {
  TransformerXLOptions o;
  o.vocab_size = index_arg(kOp, "vocab_size", vocab_size), o.d_model = index_arg(kOp, "d_model", d_model);
  o.num_heads = index_arg(kOp, "num_heads", num_heads), o.num_layers = index_arg(kOp, "num_layers", num_layers);
  o.memory_length = index_arg(kOp, "memory_length", memory_length);
  Keywords keywords(kOp, rest);
  o.dff = 4 * std::min(o.d_model, Index{1} << 60);
  keywords.take("dff", o.dff);
  keywords.take("dropout", o.dropout);
  keywords.take("activation", o.activation);
  keywords.take("norm_first", o.norm_first);
  keywords.take("tie_weights", o.tie_weights);
  keywords.take("dtype", o.dtype);
  const auto seed = keywords.take_seed();
  keywords.end();
  return Made{std::tuple(o), seed};
}

py::dict config(const TransformerXL& self) {
  const TransformerXLOptions& o = self.options();
  py::dict d;
  d["vocab_size"] = o.vocab_size, d["d_model"] = o.d_model, d["num_heads"] = o.num_heads;
  d["num_layers"] = o.num_layers, d["memory_length"] = o.memory_length, d["dff"] = o.dff;
  d["dropout"] = o.dropout, d["activation"] = o.activation, d["norm_first"] = o.norm_first;
  d["tie_weights"] = o.tie_weights, d["dtype"] = dtype_name(o.dtype);
  return d;
}

py::object segment(TransformerXL& self, Object ids, Object memory, bool return_weights) {
  const Tensor x = ids_of(ids);
  Tensors before;
  if (!memory.is_none()) {
    if (!py::isinstance<py::list>(memory) && !py::isinstance<py::tuple>(memory)) {
      type_error(kOp, ": memory is a ", Py_TYPE(memory.ptr())->tp_name,
                 " but must be the list that the segment before gave");
    }
    for (const py::handle m : memory) before.push_back(to_tensor(m, kOp, "memory", Want::kFloat, Memory::kCopy));
  }
  const models::SegmentResult r = without_gil([&] { return self.segment(x, before, return_weights); });
  if (!return_weights) return py::make_tuple(r.logits, list_of(r.memory));
  return py::make_tuple(r.logits, list_of(r.memory), list_of(r.weights));
}

}  // namespace

void bind_transformer_xl(py::module_& m) {
  py::classh<TransformerXL, nn::Module, PyLayer<TransformerXL>>(
      m, "TransformerXL", "A language model that remembers the segments before.", collectable())
      .def(layer_init<TransformerXL>(+parse), py::arg("vocab_size"), py::arg("d_model"), py::arg("num_heads"),
           py::arg("num_layers"), py::arg("memory_length"))
      .def_property_readonly("config", config, "The constructor's arguments.")
      .def(
          "forward",
          [](TransformerXL& self, Object ids) {
            const Tensor x = ids_of(ids);
            return without_gil([&] { return self.segment(x, {}, false).logits; });
          },
          py::arg("ids"))
      .def("segment", &segment, py::arg("ids"), py::arg("memory") = py::none(), py::kw_only(),
           py::arg("return_weights") = false, "Logits, and the memory for the next segment.")
      .def(
          "generate",
          [](TransformerXL& self, Object ids, Object lengths, const py::kwargs& given) {
            const models::Prompts prompts = prompts_arg("generate", ids, lengths);
            const models::DecodeOptions o = decode_options("generate", given, prompts.batch());
            return decoded_result(o,
                                  without_gil([&] { return models::decode(self.begin(), prompts, o, check_signals); }));
          },
          py::arg("ids"), py::arg("lengths") = py::none(), "Continue sequences, segment after segment.");
}

}  // namespace attendo::bindings
