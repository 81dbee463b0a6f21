#include "kernels/mask_rule.h"

namespace attendo::kernels {
namespace {

using Index = ptrdiff_t;
using Word = std::uint64_t;
using Kind = MaskStep::Kind;

Index min(Index a, Index b) { return a < b ? a : b; }
Index max(Index a, Index b) { return a > b ? a : b; }
Index floor_divide(Index a, Index b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Bits [begin, end).
Word bits(Index begin, Index end) {
  begin = max(begin, 0), end = min(end, kRuleQueries);
  if (begin >= end) return 0;
  const Word below = end == kRuleQueries ? ~Word{0} : (Word{1} << end) - 1;
  return below & ~((Word{1} << begin) - 1);
}

TileMask of(bool some, bool all) { return all ? TileMask::kAll : some ? TileMask::kSome : TileMask::kNothing; }

// A rectangle of scores.
struct Area {
  Index q0, queries, j0, keys;
};

void extremes(const std::int64_t* x, Index n, bool sorted, std::int64_t& low, std::int64_t& high) {
  low = x[0], high = x[n - 1];
  if (sorted) return;
  high = low;
  for (Index i = 1; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
}

TileMask classify_documents(const MaskStep& s, const Area& a) {
  // Identifiers in no order are looked at one by one: a tile's, not those of a long range.
  if (!s.sorted && a.queries + a.keys > 4 * kRuleKeys) return TileMask::kSome;
  std::int64_t q_low, q_high, k_low, k_high;
  extremes(s.ids + a.q0 + s.offset, a.queries, s.sorted, q_low, q_high);
  extremes(s.ids + a.j0, a.keys, s.sorted, k_low, k_high);
  return of(q_low <= k_high && k_low <= q_high, q_low == q_high && k_low == k_high && q_low == k_low);
}

TileMask classify_array(const MaskStep& s, const Area& a) {
  if (a.queries > kRuleQueries || a.keys > kRuleKeys) return TileMask::kSome;
  const Index rows = s.row == 0 ? 1 : a.queries, cols = s.col == 0 ? 1 : a.keys;
  bool some = false, all = true;
  for (Index i = 0; i < rows && !(some && !all); ++i) {
    const bool* row = s.array + (a.q0 + i) * s.row + a.j0 * s.col;
    bool any = false, every = true;
    if (s.col == 1) {
      for (Index j = 0; j < cols; ++j) any |= row[j], every &= row[j];
    } else {
      for (Index j = 0; j < cols; ++j) any |= row[j * s.col], every &= row[j * s.col];
    }
    some = some || any, all = all && every;
  }
  return of(some, all);
}

TileMask classify_leaf(const MaskStep& s, const Area& a) {
  // j - i over the rectangle.
  const Index least = a.j0 - (a.q0 + a.queries - 1), most = a.j0 + a.keys - 1 - a.q0;
  switch (s.kind) {
    case Kind::kBand: return of(most >= s.low && least <= s.high, least >= s.low && most <= s.high);
    case Kind::kStride: {
      if (s.size == 1) return TileMask::kAll;
      const Index multiple = floor_divide(most - s.offset, s.size) * s.size;  // the last one not above
      return of(multiple >= least - s.offset, least == most && multiple == least - s.offset);
    }
    case Kind::kKeys: return of(a.j0 < s.high, a.j0 + a.keys <= s.high);
    case Kind::kGlobal: {
      const Index queries = s.query_counts[a.q0 + a.queries] - s.query_counts[a.q0];
      const Index keys = s.key_counts[a.j0 + a.keys] - s.key_counts[a.j0];
      return of(queries + keys > 0, queries == a.queries || keys == a.keys);
    }
    case Kind::kBlocks: {
      const Index top = (a.q0 + s.offset) / s.size, bottom = (a.q0 + a.queries - 1 + s.offset) / s.size + 1;
      const Index left = a.j0 / s.size, right = (a.j0 + a.keys - 1) / s.size + 1;
      const std::int32_t *above = s.sums + top * s.sums_row, *below = s.sums + bottom * s.sums_row;
      const Index allowed = Index{below[right]} - below[left] - above[right] + above[left];
      return of(allowed > 0, allowed == (bottom - top) * (right - left));
    }
    case Kind::kDocuments: return classify_documents(s, a);
    default: return classify_array(s, a);
  }
}

void evaluate_documents(const MaskStep& s, const Area& a, Word* out) {
  const std::int64_t *query = s.ids + a.q0 + s.offset, *key = s.ids + a.j0;
  for (Index j = 0; j < a.keys; ++j) {
    if (j > 0 && key[j] == key[j - 1]) {
      out[j] = out[j - 1];
      continue;
    }
    Word word = 0;
    for (Index i = 0; i < a.queries; ++i) word |= static_cast<Word>(query[i] == key[j]) << i;
    out[j] = word;
  }
}

void evaluate_blocks(const MaskStep& s, const Area& a, Word* out) {
  const Index first = a.q0 + s.offset;
  for (Index j = 0; j < a.keys;) {
    const Index column = (a.j0 + j) / s.size, end = min(a.keys, (column + 1) * s.size - a.j0);
    Word word = 0;
    for (Index row = first / s.size; row * s.size < first + a.queries; ++row) {
      const std::int32_t *above = s.sums + row * s.sums_row + column, *below = above + s.sums_row;
      if (below[1] - below[0] - above[1] + above[0] != 0)
        word |= bits(row * s.size - first, (row + 1) * s.size - first);
    }
    for (; j < end; ++j) out[j] = word;
  }
}

void evaluate_array(const MaskStep& s, const Area& a, Word* out) {
  for (Index j = 0; j < a.keys; ++j) out[j] = 0;
  for (Index i = 0; i < a.queries; ++i) {
    const bool* row = s.array + (a.q0 + i) * s.row + a.j0 * s.col;
    if (s.col == 1) {
      for (Index j = 0; j < a.keys; ++j) out[j] |= static_cast<Word>(row[j]) << i;
    } else {
      for (Index j = 0; j < a.keys; ++j) out[j] |= static_cast<Word>(row[j * s.col]) << i;
    }
  }
}

void evaluate_leaf(const MaskStep& s, const Area& a, Word* out) {
  switch (s.kind) {
    case Kind::kBand:
      for (Index j = 0; j < a.keys; ++j) {
        const Index key = a.j0 + j - a.q0;  // i lies between j - high and j - low
        out[j] = bits(key - s.high, key - s.low + 1);
      }
      return;
    case Kind::kStride:
      for (Index j = 0; j < a.keys; ++j) {
        const Index behind = a.q0 + s.offset - a.j0 - j;  // of lane 0
        Word word = 0;
        for (Index i = floor_divide(behind + s.size - 1, s.size) * s.size - behind; i < kRuleQueries; i += s.size)
          word |= Word{1} << i;
        out[j] = word;
      }
      return;
    case Kind::kKeys:
      for (Index j = 0; j < a.keys; ++j) out[j] = a.j0 + j < s.high ? ~Word{0} : 0;
      return;
    case Kind::kGlobal: {
      Word queries = 0;
      for (Index i = 0; i < a.queries; ++i)
        queries |= static_cast<Word>(s.query_counts[a.q0 + i + 1] != s.query_counts[a.q0 + i]) << i;
      const std::int32_t* counts = s.key_counts + a.j0;
      for (Index j = 0; j < a.keys; ++j) out[j] = counts[j + 1] != counts[j] ? ~Word{0} : queries;
      return;
    }
    case Kind::kBlocks: return evaluate_blocks(s, a, out);
    case Kind::kDocuments: return evaluate_documents(s, a, out);
    default: return evaluate_array(s, a, out);
  }
}

}  // namespace

TileMask classify_rule(const MaskRule& rule, Index q0, Index queries, Index j0, Index keys) {
  const Area area{q0 + rule.row, queries, j0, keys};
  TileMask stack[kRuleDepth];
  Index top = 0;
  for (Index n = 0; n < rule.count; ++n) {
    const MaskStep& step = rule.steps[n];
    if (step.kind == Kind::kNot) {
      TileMask& x = stack[top - 1];
      x = x == TileMask::kAll ? TileMask::kNothing : x == TileMask::kNothing ? TileMask::kAll : x;
    } else if (step.kind == Kind::kAnd || step.kind == Kind::kOr) {
      // kNothing < kSome < kAll: and is the lesser, or the greater. Two kSome may be more or less together: kSome.
      const TileMask b = stack[--top], a = stack[top - 1];
      stack[top - 1] = (step.kind == Kind::kAnd) == (a < b) ? a : b;
    } else {
      stack[top++] = classify_leaf(step, area);
    }
  }
  return stack[0];
}

void evaluate_rule(const MaskRule& rule, Index q0, Index queries, Index j0, Index keys, Word* allowed) {
  const Area area{q0 + rule.row, queries, j0, keys};
  Word stack[kRuleDepth][kRuleKeys];
  Index top = 0;
  for (Index n = 0; n < rule.count; ++n) {
    const MaskStep& step = rule.steps[n];
    if (step.kind == Kind::kNot) {
      Word* x = stack[top - 1];
      for (Index j = 0; j < keys; ++j) x[j] = ~x[j];
    } else if (step.kind == Kind::kAnd || step.kind == Kind::kOr) {
      const Word* b = stack[--top];
      Word* a = stack[top - 1];
      if (step.kind == Kind::kAnd) {
        for (Index j = 0; j < keys; ++j) a[j] &= b[j];
      } else {
        for (Index j = 0; j < keys; ++j) a[j] |= b[j];
      }
    } else {
      evaluate_leaf(step, area, stack[top++]);
    }
  }
  for (Index j = 0; j < keys; ++j) allowed[j] = stack[0][j];
}

void pack_mask(const bool* mask, Index row, Index rows, Index cols, Word* words) {
  constexpr Index kCols = 64;
  const auto* bytes = reinterpret_cast<const unsigned char*>(mask);
  Word tile[8][8];  // [columns in eights][rows in eights]: byte c holds the rows' bits of column c
  Index j0 = 0;
  for (; rows == kRuleQueries && j0 + kCols <= cols; j0 += kCols) {
    for (Index g = 0; g < 8; ++g) {
      const unsigned char* from = bytes + 8 * g * row + j0;
      for (Index c = 0; c < 8; ++c) {
        Word sum = 0;
        for (Index i = 0; i < 8; ++i) {
          Word x;
          __builtin_memcpy(&x, from + i * row + 8 * c, sizeof x);
          sum |= x << i;
        }
        tile[c][g] = sum;
      }
    }
    for (Index c = 0; c < 8; ++c) {
      // Bytes of an 8 × 8 square, rows to columns.
      Word* x = tile[c];
      for (Index half = 4; half >= 1; half /= 2) {
        const Word low = half == 4 ? 0x00000000ffffffff : half == 2 ? 0x0000ffff0000ffff : 0x00ff00ff00ff00ff;
        for (Index g = 0; g < 8; ++g) {
          if ((g & half) != 0) continue;
          const Word a = x[g], b = x[g + half];
          x[g] = (a & low) | (b & low) << (8 * half);
          x[g + half] = (a >> (8 * half) & low) | (b & ~low);
        }
      }
      for (Index n = 0; n < 8; ++n) words[j0 + 8 * c + n] = x[n];
    }
  }
  for (Index j = j0; j < cols; ++j) words[j] = 0;
  for (Index i = 0; i < rows; ++i) {
    for (Index j = j0; j < cols; ++j) words[j] |= static_cast<Word>(bytes[i * row + j]) << i;
  }
}

bool next_rule_tile(const MaskRule& rule, Index q0, Index queries, Index from, Index end, Index tile, RuleTile& found) {
  constexpr Index kCut = 32;
  auto nothing = [&](Index j0, Index keys) { return classify_rule(rule, q0, queries, j0, keys) == TileMask::kNothing; };
  Index span = tile;
  for (Index j0 = from; j0 < end;) {
    const Index keys = min(span, end - j0);
    const TileMask mask = classify_rule(rule, q0, queries, j0, keys);
    if (mask == TileMask::kNothing) {  // twice as far the next time
      j0 += keys, span *= 2;
      continue;
    }
    if (span > tile) {
      span = tile;
      // Something in a long span: halve it until its first half holds something, or it is a tile.
      for (Index half = floor_divide(keys, 2 * tile) * tile; half >= tile; half = floor_divide(half, 2 * tile) * tile) {
        if (nothing(j0, half)) j0 += half;
      }
      continue;
    }
    Index begin = j0, last = j0 + keys;
    if (mask == TileMask::kSome) {
      while (last - begin > kCut && nothing(begin, kCut)) begin += kCut;
      if (begin > j0) {  // the tile's place moves with it
        last = min(begin + tile, end);
      }
      while (last - begin > kCut && nothing(last - kCut, kCut)) last -= kCut;
    }
    found.begin = begin, found.keys = last - begin, found.next = min(begin + tile, end);
    found.some = mask == TileMask::kSome;
    return true;
  }
  return false;
}

Index next_rule_block(const MaskRule& rule, Index from, Index end, Index block, Index j0, Index keys) {
  Index span = block;
  while (from < end) {
    const Index queries = min(span, end - from);
    if (classify_rule(rule, from, queries, j0, keys) == TileMask::kNothing) {
      from += queries, span *= 2;
      continue;
    }
    if (span == block) return from;
    for (Index half = floor_divide(queries, 2 * block) * block; half >= block;
         half = floor_divide(half, 2 * block) * block) {
      if (classify_rule(rule, from, half, j0, keys) == TileMask::kNothing) from += half;
    }
    span = block;
  }
  return end;
}

}  // namespace attendo::kernels
