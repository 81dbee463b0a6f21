#include "bindings/convert.h"
#include "bindings/layer_options.h"
#include "bindings/tensors.h"
#include "models/cross_modal_classifier.h"

namespace attendo::bindings {
namespace {

using Object = const py::object&;
using models::CrossModalClassifier;
using models::CrossModalClassifierOptions;

constexpr const char* kOp = "CrossModalClassifier";

auto parse(Object vocab_size, Object num_classes, Object image_size, Object patch_size, Object d_model,
           Object num_heads, Object max_len, const py::kwargs& rest) {
  CrossModalClassifierOptions o;
  o.vocab_size = index_arg(kOp, "vocab_size", vocab_size), o.num_classes = index_arg(kOp, "num_classes", num_classes);
  std::tie(o.image_height, o.image_width) = pair_arg(kOp, "image_size", image_size);
  std::tie(o.patch_height, o.patch_width) = pair_arg(kOp, "patch_size", patch_size);
  o.d_model = index_arg(kOp, "d_model", d_model), o.num_heads = index_arg(kOp, "num_heads", num_heads);
  o.max_len = index_arg(kOp, "max_len", max_len);
  Keywords keywords(kOp, rest);
  o.dff = 2 * std::min(o.d_model, Index{1} << 60);
  keywords.take("num_layers", o.num_layers);
  keywords.take("in_channels", o.in_channels);
  keywords.take("dff", o.dff);
  keywords.take("pad_id", o.pad_id);
  keywords.take("dropout", o.dropout);
  keywords.take("dtype", o.dtype);
  const auto seed = keywords.take_seed();
  keywords.end();
  return Made{std::tuple(o), seed};
}

py::dict config(const CrossModalClassifier& self) {
  const CrossModalClassifierOptions& o = self.options();
  py::dict d;
  d["vocab_size"] = o.vocab_size, d["num_classes"] = o.num_classes;
  d["image_size"] = py::make_tuple(o.image_height, o.image_width);
  d["patch_size"] = py::make_tuple(o.patch_height, o.patch_width);
  d["d_model"] = o.d_model, d["num_heads"] = o.num_heads, d["max_len"] = o.max_len;
  d["num_layers"] = o.num_layers, d["in_channels"] = o.in_channels, d["dff"] = o.dff, d["pad_id"] = o.pad_id;
  d["dropout"] = o.dropout, d["dtype"] = dtype_name(o.dtype);
  return d;
}

}  // namespace

void bind_cross_modal_classifier(py::module_& m) {
  py::classh<CrossModalClassifier, nn::Module, PyLayer<CrossModalClassifier>>(
      m, "CrossModalClassifier", "A text and an image that attend to each other, classified.", collectable())
      .def(layer_init<CrossModalClassifier>(+parse), py::arg("vocab_size"), py::arg("num_classes"),
           py::arg("image_size"), py::arg("patch_size"), py::arg("d_model"), py::arg("num_heads"), py::arg("max_len"))
      .def_property_readonly("config", config, "The constructor's arguments.")
      .def(
          "forward",
          [](CrossModalClassifier& self, Object ids, Object images, bool return_weights) -> py::object {
            const Tensor text = to_tensor(ids, kOp, "ids", Want::kAny, Memory::kCopy);
            const Tensor image = to_tensor(images, kOp, "images", Want::kFloat, Memory::kCopy);
            const models::CrossModalClassified r = without_gil([&] { return self(text, image, return_weights); });
            if (!return_weights) return py::cast(r.logits);
            return py::make_tuple(r.logits, py::make_tuple(list_of(r.text_weights), list_of(r.image_weights)));
          },
          py::arg("ids"), py::arg("images"), py::kw_only(), py::arg("return_weights") = false);
}

}  // namespace attendo::bindings
