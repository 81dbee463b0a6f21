#pragma once

#include "core/autograd.h"
#include "ops/window.h"

namespace attendo {

// x (B, C, L), weight (O, C/groups, k), bias (O,) or undefined -> (B, O, OL)
// The window's kernel is the weight's, whatever it says.
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, Window window = {}, Index groups = 1);

}  // namespace attendo
