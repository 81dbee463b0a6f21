// score program: what becomes of a score before the softmax, as a short formula
//
//   forward    y = f(s, b, h, i, j)      arithmetic, comparisons, where, exp, log, tanh, … and look-ups in tables
//   backward   ds = dy ∂f/∂s             dtable[index] += dy ∂f/∂(that look-up)
//
// s, y: one entry of (B, H, L, S) with b, h, i, j its batch entry, query head, query's and key's position.  table: any.
// The derivatives are programs too, made by reverse accumulation (Linnainmaa 1970). Every product of the chain rule is 0 where
// the gradient that comes in is: what a branch not taken would have given (NaN, inf) does not matter.
// At |0| the slope is 0; at a tie of minimum or maximum the first argument gets the gradient.
#include "attention/score_program.h"

#include <algorithm>
#include <cmath>

#include "attention/scaled_dot_product.h"

namespace attendo {
namespace {

using Op = ScoreProgram::Op;
using Kind = ScoreProgram::Kind;
using Node = ScoreProgram::Node;

constexpr size_t kMaxNodes = 512;      // of a formula as it was written
constexpr size_t kMaxAllNodes = 8192;  // with its derivatives

const char* name_of(Op op) {
  switch (op) {
    case Op::kNegative: return "-";
    case Op::kAbsolute: return "abs";
    case Op::kSign: return "sign";
    case Op::kExp: return "exp";
    case Op::kLog: return "log";
    case Op::kTanh: return "tanh";
    case Op::kSqrt: return "sqrt";
    case Op::kFloor: return "floor";
    case Op::kTruncate: return "trunc";
    case Op::kAdd: return "+";
    case Op::kSubtract: return "-";
    case Op::kMultiply: return "*";
    case Op::kDivide: return "/";
    case Op::kFloorDivide: return "//";
    case Op::kModulo: return "%";
    case Op::kPower: return "**";
    case Op::kMinimum: return "minimum";
    case Op::kMaximum: return "maximum";
    case Op::kLess: return "<";
    case Op::kLessEqual: return "<=";
    case Op::kEqual: return "==";
    case Op::kNotEqual: return "!=";
    default: return "?";
  }
}

// Of constants, as the kernels compute it.
double apply(Op op, double a, double b) {
  switch (op) {
    case Op::kNegative: return -a;
    case Op::kAbsolute: return std::abs(a);
    case Op::kSign: return a > 0 ? 1 : a < 0 ? -1 : a;
    case Op::kExp: return std::exp(a);
    case Op::kLog: return std::log(a);
    case Op::kTanh: return std::tanh(a);
    case Op::kSqrt: return std::sqrt(a);
    case Op::kFloor: return std::floor(a);
    case Op::kTruncate: return std::trunc(a);
    case Op::kAdd: return a + b;
    case Op::kSubtract: return a - b;
    case Op::kMultiply: return a * b;
    case Op::kDivide: return a / b;
    case Op::kPower: return std::pow(a, b);
    case Op::kMinimum: return a <= b || a != a ? a : b;
    case Op::kMaximum: return a >= b || a != a ? a : b;
    case Op::kLess: return a < b;
    case Op::kLessEqual: return a <= b;
    case Op::kEqual: return a == b;
    case Op::kNotEqual: return a != b;
    case Op::kChain: return a == 0 ? 0 : a * b;
    default: return std::nan("");
  }
}

bool is_comparison(Op op) { return op >= Op::kLess && op <= Op::kNotEqual; }
bool same_value(double a, double b) { return a == b && std::signbit(a) == std::signbit(b); }

}  // namespace

void ScoreProgram::check(int value) const {
  if (value < 0 || static_cast<size_t>(value) >= nodes_.size()) value_error("score_mod: there is no value ", value);
}

const double* ScoreProgram::constant_of(int value) const {
  const Node& node = nodes_[static_cast<size_t>(value)];
  return node.op == Op::kConstant ? &node.value : nullptr;
}

int ScoreProgram::add_node(Node node) {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& x = nodes_[i];
    if (x.op == node.op && x.a == node.a && x.b == node.b && x.c == node.c && x.kind == node.kind &&
        x.table == node.table && x.indices == node.indices &&
        (node.op != Op::kConstant || same_value(x.value, node.value) ||
         (x.value != x.value && node.value != node.value))) {
      return static_cast<int>(i);
    }
  }
  if (nodes_.size() >= (result_ < 0 ? kMaxNodes : kMaxAllNodes)) {
    value_error("attention: score_mod takes more than ", kMaxNodes,
                " operations; compute what does not depend on the score beforehand and look it up, or use bias=");
  }
  node.from_score = node.op == Op::kScore;
  for (const int x : {node.a, node.b, node.c}) {
    if (x >= 0) node.from_score = node.from_score || nodes_[static_cast<size_t>(x)].from_score;
  }
  nodes_.push_back(std::move(node));
  return static_cast<int>(nodes_.size()) - 1;
}

int ScoreProgram::source(Op op, Kind kind) {
  Node node;
  node.op = op, node.kind = kind;
  return add_node(node);
}

int ScoreProgram::constant(double value, Kind kind) {
  Node node;
  node.op = Op::kConstant, node.kind = kind, node.value = value;
  return add_node(node);
}

int ScoreProgram::unary(Op op, int a) {
  check(a);
  const Kind from = kind(a);
  if (op < Op::kNegative || op > Op::kTruncate) value_error("score_mod: not an operation of one value");
  if (from == Kind::kBool && op == Op::kNegative) {
    type_error("attention: score_mod negates a truth value; say ~ for the opposite, or 1.0 * it for a number");
  }
  Kind to = Kind::kFloat;
  if (op == Op::kNegative || op == Op::kAbsolute || op == Op::kSign) to = from;
  if (op == Op::kTruncate || op == Op::kFloor) {
    if (from != Kind::kFloat) return a;
  }
  if (from == Kind::kBool && (op == Op::kAbsolute || op == Op::kSign)) return a;
  if (const double* x = constant_of(a)) return constant(apply(op, *x, 0), to);
  Node node;
  node.op = op, node.kind = to, node.a = a;
  return add_node(node);
}

int ScoreProgram::binary(Op op, int a, int b) {
  check(a), check(b);
  if (op < Op::kAdd || op > Op::kNotEqual) value_error("score_mod: not an operation of two values");
  Kind to = std::max(kind(a), kind(b));
  const double *x = constant_of(a), *y = constant_of(b);
  if (to == Kind::kBool) {  // as NumPy: + is or, * is and
    if (op == Op::kAdd) op = Op::kMaximum;
    if (op == Op::kSubtract) {
      type_error(
          "attention: score_mod subtracts truth values; say != for one of the two alone, or 1.0 * them for numbers");
    }
    if (op == Op::kFloorDivide || op == Op::kModulo || op == Op::kPower) to = Kind::kInt;
  }
  if (op == Op::kDivide) to = Kind::kFloat;
  if (op == Op::kPower) {
    if (y != nullptr && std::floor(*y) == *y && std::abs(*y) <= 16) {  // by multiplication
      const auto n = static_cast<int>(std::abs(*y));
      if (*y < 0 && to != Kind::kFloat) {
        value_error("attention: score_mod raises a whole number to the power ", *y, "; make one of them a float");
      }
      int power = constant(1, to), square = a;
      for (int rest = n; rest > 0; rest /= 2) {
        if (rest % 2 != 0) power = multiply(power, square);
        if (rest > 1) square = multiply(square, square);
      }
      return *y < 0 ? binary(Op::kDivide, constant(1), power) : power;
    }
    if (to != Kind::kFloat) {
      type_error("attention: score_mod raises a whole number to the power ", text(b),
                 ", which may be large; make one of them a float");
    }
    if (y != nullptr && *y == 0.5) return unary(Op::kSqrt, a);
  }
  if (is_comparison(op)) to = Kind::kBool;
  if (x != nullptr && y != nullptr && op != Op::kFloorDivide && op != Op::kModulo)
    return constant(apply(op, *x, *y), to);
  // x + 0 would be +0 where x is -0; that no softmax sees.
  if (op == Op::kMultiply && x != nullptr && *x == 1 && kind(b) == to) return b;
  if ((op == Op::kMultiply || op == Op::kDivide) && y != nullptr && *y == 1 && kind(a) == to) return a;
  if (op == Op::kAdd && x != nullptr && *x == 0 && kind(b) == to) return b;
  if ((op == Op::kAdd || op == Op::kSubtract) && y != nullptr && *y == 0 && kind(a) == to) return a;
  Node node;
  node.op = op, node.kind = to, node.a = a, node.b = b;
  return add_node(node);
}

int ScoreProgram::where(int condition, int a, int b) {
  check(condition), check(a), check(b);
  if (const double* known = constant_of(condition)) {
    const int chosen = *known != 0 ? a : b;
    if (kind(chosen) == std::max(kind(a), kind(b))) return chosen;
  }
  if (a == b) return a;
  Node node;
  node.op = Op::kWhere, node.kind = std::max(kind(a), kind(b)), node.a = condition, node.b = a, node.c = b;
  return add_node(node);
}

int ScoreProgram::to_int(int a) {
  check(a);
  if (kind(a) == Kind::kInt) return a;
  if (const double* x = constant_of(a)) return constant(std::trunc(*x), Kind::kInt);
  Node node;
  node.op = Op::kTruncate, node.kind = Kind::kInt, node.a = a;
  return add_node(node);
}

int ScoreProgram::to_float(int a) {
  check(a);
  if (kind(a) == Kind::kFloat) return a;
  if (const double* x = constant_of(a)) return constant(*x);
  Node node;
  node.op = Op::kMultiply, node.kind = Kind::kFloat, node.a = a, node.b = constant(1);
  return add_node(node);
}

int ScoreProgram::lookup(const Tensor& table, const std::string& name, const std::vector<int>& indices) {
  check_defined("attention", name.c_str(), table);
  if (static_cast<int>(indices.size()) != table.rank()) {
    value_error("attention: score_mod looks up ", name, " of shape ", table.shape(), " with ", indices.size(),
                " indices but must give one for each axis");
  }
  for (const int index : indices) {
    check(index);
    if (kind(index) != Kind::kInt) {
      type_error("attention: score_mod looks up ", name, " at ", text(index), ", which is ",
                 kind(index) == Kind::kBool ? "a truth value" : "no whole number",
                 "; use //, or np.floor(…).astype(int)");
    }
    if (nodes_[static_cast<size_t>(index)].from_score) {
      type_error("attention: score_mod looks up ", name, " at ", text(index),
                 ", which depends on the score; an index may depend on b, h, i and j only");
    }
  }
  size_t number = 0;
  while (number < tables_.size() && !(tables_[number].values.same_as(table) && tables_[number].name == name)) ++number;
  if (number == tables_.size()) {
    if (number >= 64) value_error("attention: score_mod looks up more than 64 arrays");
    tables_.push_back({table, name});
  }
  Node node;
  node.op = Op::kLookup, node.table = static_cast<int>(number), node.indices = indices;
  node.kind = table.dtype() == DType::kBool ? Kind::kBool : is_float(table.dtype()) ? Kind::kFloat : Kind::kInt;
  return add_node(node);
}

void ScoreProgram::set_result(int value) {
  check(value);
  result_ = value;
}

std::string ScoreProgram::text(int value, int depth) const {
  if (depth == 0) return "...";
  const Node& x = nodes_[static_cast<size_t>(value)];
  const auto part = [&](int y) { return text(y, depth - 1); };
  std::string out;
  switch (x.op) {
    case Op::kScore: return "s";
    case Op::kBatch: return "b";
    case Op::kHead: return "h";
    case Op::kQuery: return "i";
    case Op::kKey: return "j";
    case Op::kConstant: return x.kind == Kind::kBool ? (x.value != 0 ? "True" : "False") : concat(x.value);
    case Op::kLookup:
      for (const int index : x.indices) out += concat(out.empty() ? "" : ", ", part(index));
      return concat(tables_[static_cast<size_t>(x.table)].name, "[", out.empty() ? "()" : out, "]");
    case Op::kWhere: out = concat("where(", part(x.a), ", ", part(x.b), ", ", part(x.c), ")"); break;
    case Op::kMinimum:
    case Op::kMaximum: out = concat(name_of(x.op), "(", part(x.a), ", ", part(x.b), ")"); break;
    case Op::kNegative: out = concat("-", part(x.a)); break;
    default:
      out = x.b < 0 ? concat(name_of(x.op), "(", part(x.a), ")")
                    : concat("(", part(x.a), " ", name_of(x.op), " ", part(x.b), ")");
  }
  return out.size() > 120 ? concat(out.substr(0, 117), "...") : out;
}

ScoreProgram ScoreProgram::after_softcap(double cap) const {
  ScoreProgram first;
  const int c = first.constant(cap);
  first.result_ = first.multiply(first.unary(Op::kTanh, first.multiply(first.score(), first.constant(1 / cap))), c);
  return after(first);
}

ScoreProgram ScoreProgram::after(const ScoreProgram& first) const {
  ScoreProgram out = first;
  if (result_ < 0) return out;
  const int earlier = static_cast<int>(out.tables_.size());
  out.tables_.insert(out.tables_.end(), tables_.begin(), tables_.end());
  std::vector<int> now;
  auto moved = [&](int x) { return x < 0 ? x : now[static_cast<size_t>(x)]; };
  for (Node node : nodes_) {
    if (node.op == Op::kScore) {
      now.push_back(first.result_);
      continue;
    }
    if (node.table >= 0) node.table += earlier;
    node.a = moved(node.a), node.b = moved(node.b), node.c = moved(node.c);
    for (int& index : node.indices) index = moved(index);
    now.push_back(out.add_node(std::move(node)));
  }
  out.result_ = moved(result_);
  return out;
}

int ScoreProgram::chain(int adjoint, int derivative) {
  const double *x = constant_of(adjoint), *y = constant_of(derivative);
  if (x != nullptr && *x == 0) return adjoint;
  if (y != nullptr && *y == 1) return adjoint;
  if (x != nullptr) return multiply(adjoint, derivative);  // not 0
  Node node;
  node.op = Op::kChain, node.a = adjoint, node.b = derivative;
  return add_node(node);
}

ScoreProgram::Derivatives ScoreProgram::differentiate(const std::vector<int>& wanted) {
  const int zero = constant(0), one = constant(1);
  const size_t count = static_cast<size_t>(result_) + 1;
  std::vector<bool> active(count, false);
  for (size_t n = 0; n < count; ++n) {
    const Node& x = nodes_[n];
    active[n] = x.op == Op::kScore || std::count(wanted.begin(), wanted.end(), static_cast<int>(n)) > 0;
    for (const int y : {x.a, x.b, x.c}) active[n] = active[n] || (y >= 0 && active[static_cast<size_t>(y)]);
  }
  std::vector<int> adjoint(count, zero);
  adjoint[static_cast<size_t>(result_)] = one;
  auto give = [&](int to, auto&& gradient) {
    const auto n = static_cast<size_t>(to);
    if (active[n]) adjoint[n] = add(adjoint[n], gradient());
  };
  for (size_t n = count; n-- > 0;) {
    const int d = adjoint[n], y = static_cast<int>(n);
    if (!active[n] || d == zero) continue;
    const Node x = nodes_[n];  // a copy: nodes_ grows
    const int a = x.a, b = x.b;
    switch (x.op) {
      case Op::kNegative: give(a, [&] { return unary(Op::kNegative, d); }); break;
      case Op::kAbsolute: give(a, [&] { return chain(d, to_float(unary(Op::kSign, a))); }); break;
      case Op::kExp: give(a, [&] { return chain(d, y); }); break;
      case Op::kLog: give(a, [&] { return chain(d, binary(Op::kDivide, one, a)); }); break;
      case Op::kTanh: give(a, [&] { return chain(d, subtract(one, multiply(y, y))); }); break;
      case Op::kSqrt: give(a, [&] { return chain(d, binary(Op::kDivide, constant(0.5), y)); }); break;
      case Op::kAdd:
        give(a, [&] { return d; });
        give(b, [&] { return d; });
        break;
      case Op::kSubtract:
        give(a, [&] { return d; });
        give(b, [&] { return unary(Op::kNegative, d); });
        break;
      case Op::kMultiply:
        give(a, [&] { return chain(d, to_float(b)); });
        give(b, [&] { return chain(d, to_float(a)); });
        break;
      case Op::kDivide:
        give(a, [&] { return chain(d, binary(Op::kDivide, one, b)); });
        give(b, [&] { return chain(d, unary(Op::kNegative, binary(Op::kDivide, y, b))); });
        break;
      case Op::kModulo:
        give(a, [&] { return d; });
        give(b, [&] { return chain(d, unary(Op::kNegative, to_float(binary(Op::kFloorDivide, a, b)))); });
        break;
      case Op::kPower:
        give(a, [&] { return chain(d, multiply(b, binary(Op::kPower, to_float(a), subtract(to_float(b), one)))); });
        give(b, [&] { return chain(d, multiply(y, unary(Op::kLog, a))); });
        break;
      case Op::kMinimum:
      case Op::kMaximum: {
        const int first = x.op == Op::kMinimum ? binary(Op::kLessEqual, a, b) : binary(Op::kLessEqual, b, a);
        give(a, [&] { return where(first, d, zero); });
        give(b, [&] { return where(first, zero, d); });
        break;
      }
      case Op::kWhere:
        give(b, [&] { return where(a, d, zero); });
        give(x.c, [&] { return where(a, zero, d); });
        break;
      default: break;  // sources, and what is constant in steps
    }
  }
  Derivatives out;
  out.slope = zero;
  for (size_t n = 0; n < count; ++n) {
    if (nodes_[n].op == Op::kScore) out.slope = adjoint[n];
  }
  for (const int n : wanted)
    out.factors.push_back(static_cast<size_t>(n) < count ? adjoint[static_cast<size_t>(n)] : zero);
  return out;
}

}  // namespace attendo
