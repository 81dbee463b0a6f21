// Which query may attend to which key, by rule: answered for whole rectangles of scores, or entry by entry as bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attendo::kernels {

using std::ptrdiff_t;

// One step of a rule in postfix order: a leaf pushes its answer, an operator takes one or two and pushes its own.
// Query i stands at position i + offset, key j at position j.
struct MaskStep {
  enum class Kind : std::uint8_t { kBand, kStride, kKeys, kGlobal, kBlocks, kDocuments, kArray, kAnd, kOr, kNot };
  Kind kind = Kind::kAnd;
  ptrdiff_t low = 0, high = 0;  // kBand: low <= j - i <= high;  kKeys: j < high
  ptrdiff_t offset = 0;
  ptrdiff_t size = 1;                          // kStride: i + offset - j is a multiple;  kBlocks: side of a block
  const std::int32_t* query_counts = nullptr;  // kGlobal: how many global positions come before each query (L + 1,),
  const std::int32_t* key_counts = nullptr;    //   each key (S + 1,)
  const std::int32_t* sums = nullptr;          // kBlocks: allowed blocks above and left of each corner
  ptrdiff_t sums_row = 0;
  const std::int64_t* ids = nullptr;  // kDocuments: of each position; equal ones attend
  bool sorted = false;
  const bool* array = nullptr;  // kArray: array[i·row + j·col]
  ptrdiff_t row = 0, col = 0;
};

struct MaskRule {
  const MaskStep* steps = nullptr;
  ptrdiff_t count = 0;
  ptrdiff_t row = 0;  // which query of the rule is the caller's first
};

constexpr ptrdiff_t kRuleDepth = 16;    // answers waiting at any time
constexpr ptrdiff_t kRuleQueries = 64;  // of a tile: the bits of a word
constexpr ptrdiff_t kRuleKeys = 128;

enum class TileMask { kNothing, kSome, kAll };

// What a rule says of queries [q0, q0 + queries) and keys [j0, j0 + keys), both at least one. kSome may be said where
// nothing or all is meant; the other two are certain.
TileMask classify_rule(const MaskRule& rule, ptrdiff_t q0, ptrdiff_t queries, ptrdiff_t j0, ptrdiff_t keys);

// Bit i of allowed[j]: query q0 + i may attend to key j0 + j. At most kRuleQueries and kRuleKeys; further bits: anything.
void evaluate_rule(const MaskRule& rule, ptrdiff_t q0, ptrdiff_t queries, ptrdiff_t j0, ptrdiff_t keys,
                   std::uint64_t* allowed);

// Bit i of words[j] is mask[i·row + j], for at most 64 rows.
void pack_mask(const bool* mask, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t cols, std::uint64_t* words);

// The next tile of at most `tile` (<= kRuleKeys) keys of [from, end) in which something may be allowed; its edges are cut
// where nothing is. False when there is none.
struct RuleTile {
  ptrdiff_t begin = 0, keys = 0;
  ptrdiff_t next = 0;  // where to go on
  bool some = false;   // entries must be tested
};
bool next_rule_tile(const MaskRule& rule, ptrdiff_t q0, ptrdiff_t queries, ptrdiff_t from, ptrdiff_t end,
                    ptrdiff_t tile, RuleTile& found);

// The first query from `from` on, a multiple of `block` away from it, whose block may attend to one of the keys; or `end`.
ptrdiff_t next_rule_block(const MaskRule& rule, ptrdiff_t from, ptrdiff_t end, ptrdiff_t block, ptrdiff_t j0,
                          ptrdiff_t keys);

}  // namespace attendo::kernels
