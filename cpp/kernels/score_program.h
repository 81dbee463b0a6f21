// A score modification as the attention kernels run it: a list of steps, each over a chunk of a tile of scores.
//
// A value is one number for the head, one a query, one a key or one an entry of the tile: it is computed and kept no
// oftener than that. The steps that do not depend on the key run once a tile.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

using std::ptrdiff_t;

enum class ScoreOp : std::uint8_t {
  kScore,  // the sources
  kBatch,
  kHead,
  kQuery,
  kKey,
  kConstant,
  kLookup,
  kNegative,  // of one value
  kAbsolute,
  kSign,
  kExp,
  kLog,
  kTanh,
  kSqrt,
  kFloor,
  kTruncate,
  kAdd,  // of two
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kMinimum,
  kMaximum,
  kLess,
  kLessEqual,
  kEqual,
  kNotEqual,
  kChain,  // a b, and 0 where a is 0, whatever b is: the chain rule
  kWhere,  // of three
  kScatter,
};

// How often a value differs.
enum ScoreLevel : std::uint8_t { kPerHead = 0, kPerQuery = 1, kPerKey = 2, kPerEntry = 3 };

inline constexpr int kScoreRows = 8;  // keys a chunk, where the panel is full

struct ScoreSlot {
  std::int16_t slot = -1;  // of its level's registers; -1: the score itself
  std::uint8_t level = kPerEntry;
};

struct ScoreIndex {
  ScoreSlot at;
  bool wraps = false;    // negative indices count from the end
  bool checked = false;  // nobody has proven it to be within the axis
  ptrdiff_t size = 1, stride = 0;
};

struct ScoreStep {
  ScoreOp op = ScoreOp::kScore;
  std::uint8_t level = kPerEntry;  // of the result
  ScoreSlot out, in[3];
  int lookup = -1;   // kLookup and kScatter: which
  double value = 0;  // kConstant
};

struct ScoreLookup {
  const void* table = nullptr;  // of the scores' dtype
  const ScoreIndex* indices = nullptr;
  int rank = 0;
  bool checked = false;
  int gradient = -1;  // which of d_tables
};

struct ScoreCode {
  const ScoreStep* steps = nullptr;
  ptrdiff_t prologue = 0, count = 0;  // steps [0, prologue) do not depend on the key
  const ScoreLookup* lookups = nullptr;
  ptrdiff_t per_head = 0, per_query = 0, chunks = 0;  // registers of each kind
  ScoreSlot result, slope;                            // slope: d result / d score, where has_slope
  bool has_slope = false;
  bool checked = false;  // some look-up is, and shall be reported
};

}  // namespace attendo::kernels
