#include "nn/glu.h"

namespace attendo::nn {
namespace {

constexpr std::pair<const char*, GateActivation> kNames[] = {
    {"sigmoid", GateActivation::kSigmoid},    {"silu", GateActivation::kSilu}, {"gelu", GateActivation::kGelu},
    {"gelu_tanh", GateActivation::kGeluTanh}, {"relu", GateActivation::kRelu},
};

}  // namespace

GateActivation gate_activation_of(const char* op, const std::string& name) {
  for (const auto& [known, activation] : kNames) {
    if (name == known) return activation;
  }
  value_error(op, ": activation is '", name, "' but must be 'sigmoid', 'silu', 'gelu', 'gelu_tanh', 'relu' or None");
}

std::string GLU::extra_repr() const {
  for (const auto& [name, activation] : kNames) {
    if (activation == activation_) return concat("activation='", name, "'");
  }
  return "activation=None";
}

}  // namespace attendo::nn
