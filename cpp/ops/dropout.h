#pragma once

#include "core/autograd.h"
#include "core/random.h"

namespace attendo {

// Draws one stream from the generator. p = 0 gives x itself.
Tensor dropout(const Tensor& x, double p, Generator& generator);

// What that stream keeps, again.
Tensor dropout(const Tensor& x, double p, std::uint64_t stream);

// Keep an element where its 32 random bits are >= this.
std::uint32_t drop_threshold(double p);

// What a kept element is multiplied by.
template <typename T>
T keep_scale(double p) {
  return static_cast<T>(1.0 / (1.0 - p));
}

}  // namespace attendo
