#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "kernels/score_program.h"

namespace attendo {

// A formula for the modified score in terms of the score s, the batch entry b (all batch axes as one), the query head h,
// the query's position i (row + q_offset) and the key's position j. Values are numbered as they are made; the same formula
// made twice is one value. Whole numbers and booleans follow NumPy: i // 2 is whole, i / 2 is not, indices must be.
class ScoreProgram {
 public:
  using Op = kernels::ScoreOp;
  enum class Kind : std::uint8_t { kBool, kInt, kFloat };
  struct Node {
    Op op = Op::kScore;
    int a = -1, b = -1, c = -1;
    double value = 0;  // kConstant
    Kind kind = Kind::kFloat;
    int table = -1;            // kLookup
    std::vector<int> indices;  // kLookup: one an axis of the table
    bool from_score = false;   // depends on s
  };
  struct Table {
    Tensor values;
    std::string name;  // for errors
  };

  int score() { return source(Op::kScore, Kind::kFloat); }
  int batch() { return source(Op::kBatch, Kind::kInt); }
  int head() { return source(Op::kHead, Kind::kInt); }
  int query() { return source(Op::kQuery, Kind::kInt); }
  int key() { return source(Op::kKey, Kind::kInt); }
  int constant(double value, Kind kind = Kind::kFloat);
  int integer(Index value) { return constant(static_cast<double>(value), Kind::kInt); }

  int unary(Op op, int a);
  int binary(Op op, int a, int b);
  int where(int condition, int a, int b);
  int to_int(int a);  // towards zero
  int to_float(int a);
  int add(int a, int b) { return binary(Op::kAdd, a, b); }
  int subtract(int a, int b) { return binary(Op::kSubtract, a, b); }
  int multiply(int a, int b) { return binary(Op::kMultiply, a, b); }
  int clip(int a, int low, int high) { return binary(Op::kMinimum, binary(Op::kMaximum, a, low), high); }
  // table[indices]: floats, whole numbers or booleans. A gradient reaches a table of floats that requires one.
  int lookup(const Tensor& table, const std::string& name, const std::vector<int>& indices);

  void set_result(int value);
  int result() const { return result_; }

  // The same with what `first` makes of s in place of s.
  ScoreProgram after(const ScoreProgram& first) const;
  // The same on c tanh(s / c) in place of s.
  ScoreProgram after_softcap(double cap) const;

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Table>& tables() const { return tables_; }
  Kind kind(int value) const { return nodes_[static_cast<size_t>(value)].kind; }
  std::string text(int value, int depth = 8) const;  // "(i - j)"

  // Adds the derivatives of the result: by s, and by each look-up of `wanted` (numbers of nodes). Constants of 0 where
  // nothing depends on it.
  struct Derivatives {
    int slope = -1;
    std::vector<int> factors;
  };
  Derivatives differentiate(const std::vector<int>& wanted);

 private:
  int source(Op op, Kind kind);
  int add_node(Node node);
  int chain(int adjoint, int derivative);
  void check(int value) const;
  const double* constant_of(int value) const;

  std::vector<Node> nodes_;
  std::vector<Table> tables_;
  int result_ = -1;
};

using ScoreProgramPtr = std::shared_ptr<const ScoreProgram>;

}  // namespace attendo
