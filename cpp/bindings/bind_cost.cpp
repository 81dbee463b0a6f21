#include "core/cost.h"

#include "bindings/convert.h"

namespace attendo::bindings {

void bind_cost(py::module_& m);

void bind_cost(py::module_& m) {
  m.def(
      "count_cost",
      [](const py::object& function, const py::list& modules) {
        const CostCounter counter;
        const py::object result = function();
        py::list costs;
        for (const py::handle module : modules) {
          const CostCounter::Entry* cost = counter.of(module.cast<const nn::Module*>());
          if (cost == nullptr) {
            costs.append(py::none());
            continue;
          }
          py::dict d;
          d["calls"] = cost->calls;
          d["multiply_adds"] = cost->multiply_adds, d["own_multiply_adds"] = cost->own_multiply_adds;
          d["bytes"] = cost->bytes, d["own_bytes"] = cost->own_bytes;
          d["shape"] = cost->has_shape
                           ? py::object(py::tuple(py::cast(std::vector<Index>(cost->shape.begin(), cost->shape.end()))))
                           : py::none();
          costs.append(d);
        }
        return py::make_tuple(counter.multiply_adds(), costs, result);
      },
      py::arg("function"), py::arg("modules"),
      "Calls it; gives its multiply-adds, what each module cost (or None), and its result.");
}

}  // namespace attendo::bindings
