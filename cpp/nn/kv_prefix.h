#pragma once

#include "nn/layers.h"

namespace attendo::nn {

// Trained keys and values that every query of an attention layer sees besides those of its input. Its child "prefix".
class KVPrefix : public Module {
 public:
  KVPrefix(Index length, Index key_features, Index value_features, DType dtype);
  Tensors forward(const Tensors& inputs) override;
  std::string type_name() const override { return "KVPrefix"; }
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;  // N(0, 0.02²)

  Index length() const { return key().dim(0); }
  const Tensor& key() const { return own_parameters()[0].second; }    // (length, Hkv·D)
  const Tensor& value() const { return own_parameters()[1].second; }  // (length, Hkv·Dv)
};

}  // namespace attendo::nn
