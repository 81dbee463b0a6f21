#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "train/schedules.h"

namespace attendo::train {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// What a group of parameters is stepped with, under PyTorch's names. Each optimizer reads those that are its own.
struct Options {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double momentum = 0, dampening = 0, alpha = 0.99, lr_decay = 0, initial_accumulator_value = 0;
  bool nesterov = false, amsgrad = false, centered = false;
};

// A number or a switch among the options by its name; nullptr for any other name (and for betas, which are two).
double Options::* number_option(const std::string& name);
bool Options::* flag_option(const std::string& name);

// Some of the parameters, stepped with other options than the rest.
struct ParameterGroup {
  std::vector<std::string> patterns;  // of names
  std::vector<Tensor> tensors;
  std::optional<Schedule> schedule;  // in place of the optimizer's
  double lr_scale = 1;
  Options options;
  std::vector<std::string> given;  // names of the options in which it differs
};

// Whether a name is one of a pattern's: * any characters, ? one, [abc] and [a-c] one of these, [!abc] one that is not.
bool matches(const std::string& pattern, const std::string& name);

// Where each parameter belongs: the first group that has it, or groups.size(). An error for a pattern or a tensor of a
// group that is no parameter's.
std::vector<size_t> assign_groups(const std::vector<ParameterGroup>& groups, const NamedTensors& parameters);

// Copies the given values into those of the same names, or into none: an error names what is missing, unknown or of
// another shape or dtype.
void load_named(const char* op, const NamedTensors& own, const NamedTensors& given);

// An error where a value that is one integer cannot be a count of steps.
void check_count(const char* op, const std::string& name, const Tensor& value);

}  // namespace attendo::train
