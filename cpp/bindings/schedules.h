// Learning rates from Python, and back.
#pragma once

#include "bindings/convert.h"
#include "train/schedules.h"

namespace attendo::bindings {

std::string type_of(py::handle object);
std::string text_arg(const char* op, const char* arg, py::handle value);
train::Schedule schedule_arg(const char* op, py::handle lr);  // a number: constant
py::dict config_of(const train::Schedule& schedule);

void bind_schedules(py::module_& m);

}  // namespace attendo::bindings
