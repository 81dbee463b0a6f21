// Tensors of a result as Python's list, or as a tuple that is None where it was not asked for.
#pragma once

#include "bindings/convert.h"

namespace attendo::bindings {

inline py::list list_of(const Tensors& tensors) {
  py::list out;
  for (const Tensor& x : tensors) out.append(py::cast(x));
  return out;
}

inline py::object tuple_of(const Tensors& tensors, bool wanted) {
  return wanted ? py::object(py::tuple(list_of(tensors))) : py::none();
}

}  // namespace attendo::bindings
