// Attention to a prefix besides the keys of a call (formulas: kv_prefix.cpp). For the files of this folder.
#pragma once

#include "attention/drivers.h"

namespace attendo::blocked {

class KVPrefix {
 public:
  KVPrefix() = default;
  // `rows`, or none, as the problem p of these options sees them.
  KVPrefix(const Problem& p, const AttentionOptions& options, const PrefixRows& rows);
  explicit operator bool() const { return problem_.k.defined(); }
  const Tensor& k() const { return problem_.k; }  // (B, P, Hkv·D)
  const Tensor& v() const { return problem_.v; }  // (B, P, Hkv·Dv)

  // Makes what p alone gave, output, statistics and weights (or null), those of p and the prefix.
  template <typename T>
  void join(T* out, const RowStatistics<T>& rows, T* weights, const Problem& p) const;
  // All gradients of `g`, whose d_q is that of the tensor d_q, and the prefix's own.
  template <typename T>
  void backward(Gradients<T> g, const Problem& p, const Tensor& d_q) const;

 private:
  Problem problem_;
};

}  // namespace attendo::blocked
