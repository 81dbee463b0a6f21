#pragma once

#include "nn/layers.h"

namespace attendo::nn {

struct RecurrentOptions {
  Index input_size = 0, hidden_size = 0, num_layers = 1;
  bool bias = true;
  double dropout = 0;  // between layers, in training mode
  bool bidirectional = false;
  DType dtype = DType::kFloat32;
  bool return_sequences = true;  // of the last layer; else its last states
};

struct RecurrentResult {
  Tensor out;       // (B, S, H · directions): of the last layer; (B, H · directions) without return_sequences
  Tensor h_n, c_n;  // (layers · directions, B, H); c_n of an LSTM only
};

// A stack of recurrent layers, each in one direction or in both. Parameters are named as in PyTorch.
class Recurrent : public Module {
 public:
  // States (layers · directions, B, H) and lengths (B,) may be undefined.
  RecurrentResult operator()(const Tensor& x, const Tensor& h_0, const Tensor& c_0, const Tensor& lengths);
  Tensors forward(const Tensors& inputs) override;  // the output alone
  std::string extra_repr() const override;
  void reset_own(Generator& generator) override;

  const RecurrentOptions& options() const { return o_; }

 protected:
  Recurrent(const char* name, Index gates, const RecurrentOptions& options);
  struct Weights {
    Tensor ih, hh, bias_ih, bias_hh;
  };
  // One layer in one direction.
  virtual RecurrentResult run(const Tensor& x, const Weights& weights, const Tensor& h_0, const Tensor& c_0,
                              const Tensor& lengths, bool reverse) = 0;

 private:
  Tensor state_of(const char* name, const Tensor& states, Index batch, Index which) const;

  const char* name_;
  RecurrentOptions o_;
};

class LSTM : public Recurrent {
 public:
  explicit LSTM(const RecurrentOptions& options) : Recurrent("LSTM", 4, options) {}
  std::string type_name() const override { return "LSTM"; }

 protected:
  RecurrentResult run(const Tensor& x, const Weights& weights, const Tensor& h_0, const Tensor& c_0,
                      const Tensor& lengths, bool reverse) override;
};

class GRU : public Recurrent {
 public:
  GRU(const RecurrentOptions& options, bool reset_after) : Recurrent("GRU", 3, options), reset_after_(reset_after) {}
  std::string type_name() const override { return "GRU"; }
  std::string extra_repr() const override;

 protected:
  RecurrentResult run(const Tensor& x, const Weights& weights, const Tensor& h_0, const Tensor& c_0,
                      const Tensor& lengths, bool reverse) override;

 private:
  bool reset_after_;
};

}  // namespace attendo::nn
