// xtensor's headers, which moved into folders in version 0.26. Included by few files: it is slow to compile.
#pragma once

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/core/xnoalias.hpp>
#include <xtensor/misc/xmanipulation.hpp>
#include <xtensor/views/xbroadcast.hpp>
#include <xtensor/views/xstrided_view.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xbroadcast.hpp>
#include <xtensor/xmanipulation.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xstrided_view.hpp>
#endif

#include "core/tensor.h"

namespace attendo {

// An xtensor expression on a tensor's own memory.
template <typename T>
auto adapt(const Tensor& x) {
  const std::vector<size_t> shape(x.shape().begin(), x.shape().end());
  return xt::adapt(x.data<T>(), static_cast<size_t>(x.size()), xt::no_ownership(), shape);
}

}  // namespace attendo
