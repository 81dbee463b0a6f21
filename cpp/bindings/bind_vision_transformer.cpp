#include "bindings/convert.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "models/vision_transformer.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::VisionOutput;
using models::VisionTransformer;
using models::VisionTransformerOptions;

constexpr const char* kOp = "VisionTransformer";

auto parse(Object image_size, Object patch_size, Object d_model, Object num_heads, Object num_layers,
           const py::kwargs& rest) {
  VisionTransformerOptions o;
  std::tie(o.image_height, o.image_width) = pair_arg(kOp, "image_size", image_size);
  std::tie(o.patch_height, o.patch_width) = pair_arg(kOp, "patch_size", patch_size);
  o.layer.d_model = index_arg(kOp, "d_model", d_model), o.layer.num_heads = index_arg(kOp, "num_heads", num_heads);
  o.num_layers = index_arg(kOp, "num_layers", num_layers);
  Keywords keywords(kOp, rest);
  o.layer.dff = 4 * std::min(o.layer.d_model, Index{1} << 60);
  keywords.take("dff", o.layer.dff);
  take_layer_options(keywords, o.layer);
  keywords.take("in_channels", o.in_channels);
  keywords.take_size("num_classes", o.num_classes);
  keywords.take("pooling", o.pooling);
  keywords.take("pooler", o.pooler);
  const auto seed = keywords.take_seed();
  keywords.end();
  return Made{std::tuple(o), seed};
}

py::dict config(const VisionTransformer& self) {
  const VisionTransformerOptions& o = self.options();
  py::dict d;
  d["image_size"] = py::make_tuple(o.image_height, o.image_width);
  d["patch_size"] = py::make_tuple(o.patch_height, o.patch_width);
  d["d_model"] = o.layer.d_model, d["num_heads"] = o.layer.num_heads, d["num_layers"] = o.num_layers;
  d["dff"] = o.layer.dff, d["in_channels"] = o.in_channels, d["pooling"] = o.pooling;
  put_layer_options(d, o.layer);
  d["norm_eps"] = o.layer.norm_eps;
  if (o.num_classes > 0) d["num_classes"] = o.num_classes;
  if (o.pooler != "none") d["pooler"] = o.pooler;
  return d;
}

}  // namespace

void bind_vision_transformer(py::module_& m) {
  py::classh<VisionTransformer, nn::Module, PyLayer<VisionTransformer>>(
      m, "VisionTransformer", "A stack over the patches of an image.", collectable())
      .def(layer_init<VisionTransformer>(+parse), py::arg("image_size"), py::arg("patch_size"), py::arg("d_model"),
           py::arg("num_heads"), py::arg("num_layers"))
      .def_property_readonly("config", config, "The constructor's arguments.")
      .def(
          "forward",
          [](VisionTransformer& self, Object images) {
            const Tensor x = to_tensor(images, kOp, "images", Want::kFloat, Memory::kCopy);
            return without_gil([&] { return self(x); });
          },
          py::arg("images"))
      .def(
          "outputs",
          [](VisionTransformer& self, Object images, bool hidden_states, bool attentions) {
            const Tensor x = to_tensor(images, kOp, "images", Want::kFloat, Memory::kCopy);
            const VisionOutput r = without_gil([&] { return self.outputs(x, {attentions, hidden_states}); });
            const py::object logits = r.logits ? py::cast(r.logits) : py::none();
            return py::module_::import("attendo.models._output")
                .attr("EncoderOutput")(r.last_hidden, r.pooled, tuple_of(r.hidden, hidden_states),
                                       tuple_of(r.attentions, attentions), logits);
          },
          py::arg("images"), py::kw_only(), py::arg("hidden_states") = false, py::arg("attentions") = false);
}

}  // namespace attendo::bindings
