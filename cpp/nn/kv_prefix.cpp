// A prefix of an attention layer
//
//   head_h = attention(Q_h, [P_k; K]_g, [P_v; V]_g)      P_k, P_v trained, drawn from N(0, 0.02²) at first
//
// P_k: (length, Hkv D).  P_v: (length, Hkv Dv).  They are keys and values as attention reads them: neither projected, normalised
// nor turned. How the two parts meet: attention/kv_prefix.cpp.                          Li and Liang 2021, §4.
#include "nn/kv_prefix.h"

namespace attendo::nn {
namespace {
constexpr Index kMost = 65536;
}

KVPrefix::KVPrefix(Index length, Index key_features, Index value_features, DType dtype) {
  if (length < 1 || length > kMost) value_error("prefix: length is ", length, " but must be 1 to ", kMost);
  make_parameter("key", {length, key_features}, dtype);
  make_parameter("value", {length, value_features}, dtype);
  reset_own(generator());
  seal();
}

void KVPrefix::reset_own(Generator& generator) {
  constexpr double kDeviation = 0.02;
  fill_normal(key(), 0, kDeviation, generator);
  fill_normal(value(), 0, kDeviation, generator);
}

Tensors KVPrefix::forward(const Tensors&) { value_error("KVPrefix: it is part of an attention layer; call that"); }

std::string KVPrefix::extra_repr() const { return concat("length=", length()); }

}  // namespace attendo::nn
