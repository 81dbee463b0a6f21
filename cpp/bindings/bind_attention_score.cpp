#include "attention/score_program.h"
#include "bindings/convert.h"

namespace attendo::bindings {
namespace {

using Op = ScoreProgram::Op;
using Kind = ScoreProgram::Kind;

constexpr std::pair<const char*, Op> kUnary[] = {
    {"negative", Op::kNegative}, {"absolute", Op::kAbsolute}, {"sign", Op::kSign},
    {"exp", Op::kExp},           {"log", Op::kLog},           {"tanh", Op::kTanh},
    {"sqrt", Op::kSqrt},         {"floor", Op::kFloor},       {"trunc", Op::kTruncate},
};
constexpr std::pair<const char*, Op> kBinary[] = {
    {"add", Op::kAdd},
    {"subtract", Op::kSubtract},
    {"multiply", Op::kMultiply},
    {"divide", Op::kDivide},
    {"floor_divide", Op::kFloorDivide},
    {"remainder", Op::kModulo},
    {"power", Op::kPower},
    {"minimum", Op::kMinimum},
    {"maximum", Op::kMaximum},
    {"less", Op::kLess},
    {"less_equal", Op::kLessEqual},
    {"equal", Op::kEqual},
    {"not_equal", Op::kNotEqual},
};
constexpr std::pair<const char*, Op> kOther[] = {
    {"s", Op::kScore},           {"b", Op::kBatch},       {"h", Op::kHead},      {"i", Op::kQuery},     {"j", Op::kKey},
    {"constant", Op::kConstant}, {"lookup", Op::kLookup}, {"where", Op::kWhere}, {"chain", Op::kChain},
};

template <size_t n>
Op named(const std::pair<const char*, Op> (&ops)[n], const std::string& name) {
  for (const auto& [known, op] : ops) {
    if (name == known) return op;
  }
  value_error("score_mod: no operation is called ", name);
}

const char* name_of(Op wanted) {
  for (const auto& [name, op] : kUnary) {
    if (op == wanted) return name;
  }
  for (const auto& [name, op] : kBinary) {
    if (op == wanted) return name;
  }
  for (const auto& [name, op] : kOther) {
    if (op == wanted) return name;
  }
  return "?";
}

const char* kind_name(Kind kind) { return kind == Kind::kBool ? "bool" : kind == Kind::kInt ? "int" : "float"; }

// (name, inputs, the constant or the number of the table or None, kind) of each instruction, in order.
py::list instructions(const ScoreProgram& program) {
  py::list out;
  for (const auto& x : program.nodes()) {
    py::list inputs;
    for (const int y : {x.a, x.b, x.c}) {
      if (y >= 0) inputs.append(y);
    }
    for (const int y : x.indices) inputs.append(y);
    py::object value = py::none();
    if (x.op == Op::kConstant) value = py::float_(x.value);
    if (x.op == Op::kLookup) value = py::int_(x.table);
    out.append(py::make_tuple(name_of(x.op), py::tuple(inputs), value, kind_name(x.kind)));
  }
  return out;
}

}  // namespace

void bind_attention_score(py::module_& m) {
  py::class_<ScoreProgram, std::shared_ptr<ScoreProgram>>(m, "ScoreProgram")
      .def(py::init<>())
      .def("score", &ScoreProgram::score)
      .def("batch", &ScoreProgram::batch)
      .def("head", &ScoreProgram::head)
      .def("query", &ScoreProgram::query)
      .def("key", &ScoreProgram::key)
      .def("boolean", [](ScoreProgram& p, bool x) { return p.constant(x ? 1 : 0, Kind::kBool); })
      .def("integer", [](ScoreProgram& p, double x) { return p.constant(x, Kind::kInt); })
      .def("number", [](ScoreProgram& p, double x) { return p.constant(x); })
      .def("unary", [](ScoreProgram& p, const std::string& op, int a) { return p.unary(named(kUnary, op), a); })
      .def("binary",
           [](ScoreProgram& p, const std::string& op, int a, int b) { return p.binary(named(kBinary, op), a, b); })
      .def("where", &ScoreProgram::where)
      .def("to_int", &ScoreProgram::to_int)
      .def("to_float", &ScoreProgram::to_float)
      .def("lookup",
           [](ScoreProgram& p, py::handle table, const std::string& name, const std::vector<int>& indices) {
             return p.lookup(to_tensor(table, "attention", name.c_str(), Want::kAny, Memory::kCopy), name, indices);
           })
      .def("set_result", &ScoreProgram::set_result)
      .def("result", &ScoreProgram::result)
      .def("kind", [](const ScoreProgram& p, int x) { return kind_name(p.kind(x)); })
      .def("text", [](const ScoreProgram& p, int x) { return p.text(x); })
      .def("after_softcap", [](const ScoreProgram& p, double cap) { return p.after_softcap(cap); })
      .def("instructions", &instructions)
      .def("tables", [](const ScoreProgram& p) {
        py::list out;
        for (const auto& table : p.tables()) out.append(table.values);
        return out;
      });
}

}  // namespace attendo::bindings
