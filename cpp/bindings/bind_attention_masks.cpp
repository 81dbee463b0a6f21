#include "attention/mask_rule.h"
#include "bindings/convert.h"

namespace attendo::bindings {
namespace {

Tensor array_of(const char* op, const char* arg, py::handle object, DType dtype, int least_rank, int most_rank) {
  const Tensor x = to_tensor(object, op, arg, Want::kAny, Memory::kCopy);
  if (x.dtype() != dtype)
    type_error(op, ": ", arg, " has dtype ", dtype_name(x.dtype()), " but must be ", dtype_name(dtype));
  if (x.rank() < least_rank || x.rank() > most_rank)
    value_error(op, ": ", arg, " has shape ", x.shape(), " but must have ", least_rank, " to ", most_rank, " axes");
  return x;
}

MaskSizes sizes_of(const char* op, Index batch, Index heads, Index length, Index keys, Index q_offset) {
  const std::pair<const char*, Index> sizes[] = {
      {"batch", batch}, {"heads", heads}, {"length", length}, {"keys", keys}};
  constexpr Index kMost = Index{1} << 40;
  for (const auto& [name, n] : sizes) {
    if (n < 0 || n > kMost) value_error(op, ": ", name, " is ", n, " but must be 0 to 2^40");
  }
  if (q_offset < -kMost || q_offset > kMost) value_error(op, ": q_offset is ", q_offset, ", which is out of range");
  return {batch, heads, length, keys, q_offset};
}

}  // namespace

void bind_attention_masks(py::module_& m) {
  using Object = const py::object&;
  using Mask = MaskExpression;
  py::class_<Mask>(m, "MaskExpression", "What attendo.masks.Mask stands on.")
      .def_static("causal", &Mask::causal)
      .def_static("window",
                  [](Object left, Object right) {
                    return Mask::window(index_arg("window", "left", left), index_arg("window", "right", right));
                  })
      .def_static("strided", [](Object stride) { return Mask::strided(index_arg("strided", "stride", stride)); })
      .def_static("lengths",
                  [](Object x) { return Mask::lengths(array_of("lengths", "lengths", x, DType::kInt64, 1, 1)); })
      .def_static("prefix", [](Object x) { return Mask::prefix(array_of("prefix", "n", x, DType::kInt64, 1, 1)); })
      .def_static(
          "global_tokens",
          [](Object x) { return Mask::global_tokens(array_of("global_tokens", "indices", x, DType::kInt64, 1, 1)); })
      .def_static("blocks",
                  [](Object layout, Object size) {
                    return Mask::blocks(array_of("blocks", "layout", layout, DType::kBool, 2, 3),
                                        index_arg("blocks", "block_size", size));
                  })
      .def_static("documents",
                  [](Object x) { return Mask::documents(array_of("documents", "ids", x, DType::kInt64, 1, 2)); })
      .def_static("dense",
                  [](Object x) { return Mask::dense(array_of("dense", "array", x, DType::kBool, 0, kMaxRank)); })
      .def("__and__", [](const Mask& a, const Mask& b) { return a & b; })
      .def("__or__", [](const Mask& a, const Mask& b) { return a | b; })
      .def("__invert__", [](const Mask& a) { return ~a; })
      .def("written_out",
           [](const Mask& mask, Index batch, Index heads, Index length, Index keys, Index q_offset) {
             const MaskSizes sizes = sizes_of("mask", batch, heads, length, keys, q_offset);
             return to_numpy(without_gil([&] { return mask.written_out("mask", sizes); }), true);
           })
      .def("cell_counts", [](const Mask& mask, Index batch, Index heads, Index length, Index keys, Index q_offset,
                             Index entry, Index head, Index side) {
        const MaskSizes sizes = sizes_of("mask", batch, heads, length, keys, q_offset);
        if (side < 1) value_error("mask: side is ", side, " but must be 1 or more");
        constexpr Index kDrawn = Index{1} << 17;  // seconds
        for (const auto& [name, n] : {std::pair{"length", length}, std::pair{"keys", keys}}) {
          if (n > kDrawn) value_error("mask: ", name, " is ", n, " but at most ", kDrawn, " are drawn");
        }
        return to_numpy(without_gil([&] { return mask.cell_counts("mask", sizes, entry, head, side); }), true);
      });
}

}  // namespace attendo::bindings
