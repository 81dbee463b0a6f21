// Models whose linear layers multiply whole numbers (ops/quantized_linear.h): they compute and cannot be trained.
//
// Every matrix that only linear layers take becomes int8 with a scale for each row; tables of embeddings, also those that are
// an output layer too, become int8 with scales for each 64 neighbours (ops/linear_int8.h), which no product rounds further.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/module.h"
#include "ops/activation_range.h"

namespace attendo::nn {

// Each row of an input is rounded in its own range.
void quantize_dynamic(Module& root);

// Inputs are rounded in ranges that are found before: while this lives and the model computes, it sees them.
class Calibration {
 public:
  explicit Calibration(std::shared_ptr<Module> root);
  ~Calibration();
  Calibration(const Calibration&) = delete;
  Calibration& operator=(const Calibration&) = delete;

  // After a first pass, which finds the ranges, the same again counts what lies where: for all methods but kMinMax.
  void count();
  // Quantizes the model. A matrix that met no input is dynamic.
  void finish(RangeMethod method, double percentile);
  void stop();

 private:
  std::shared_ptr<Module> root_;
  std::vector<Module::NamedTensor> watched_;
};

enum class Int8Form : unsigned char { kFloat, kWeights, kDynamic, kStatic };
Int8Form int8_form(const Tensor& weight);
std::string int8_note(const Tensor& weight);  // for repr

// The matrices so named take these forms, with whatever numbers: before their state is loaded.
void hold_int8(Module& root, const std::map<std::string, Int8Form>& forms);

}  // namespace attendo::nn
