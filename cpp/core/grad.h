// Gradients of chosen tensors, and gradients of gradients
//
//   g = grad(L, x):   g = ∂L/∂x          grad(v·g, x) = (∂²L/∂x²) v, where g was made with create_graph
//
// Nothing is left in the tensors themselves: leaves keep the gradients they have. With create_graph the nodes' functions
// run with the tape on, so that what they hand over can be differentiated in turn, any number of times.
#pragma once

#include "core/autograd.h"

namespace attendo {

// The gradients of `inputs`, one each; undefined where the outputs do not depend on it. d_outputs: one an output, an
// undefined one stands for 1. With create_graph an operation that is not recorded as Twice::kYes is an error.
Tensors grad(const Tensors& outputs, const Tensors& inputs, const Tensors& d_outputs, bool create_graph);

// For the function of a node, with the tape on: hands each of `inputs` (some may be undefined) the gradient that
// `expansion` has, the node's operation written in differentiable ones. It is computed again: inputs -> outputs, of which
// those with a gradient in d_outputs count.
void accumulate_through(const Tensors& inputs, const Tensors& d_outputs,
                        const std::function<Tensors(const Tensors& inputs)>& expansion);

}  // namespace attendo
