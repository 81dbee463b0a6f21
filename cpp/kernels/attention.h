// Blocked attention of one head on one thread (Dao et al. 2022; queries in the SIMD lanes): never an L × S array.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/mask_rule.h"
#include "kernels/score_program.h"

namespace attendo::kernels {

// What decides the scores of one (batch, head): s_ij = f(scale · q_i·k_j) + bias_ij where i may attend to j, f the score
// program if there is one.
template <typename T>
struct AttentionHead {
  ptrdiff_t query_length = 0, d = 0, d_v = 0;
  const T* q = nullptr;
  ptrdiff_t q_row = 0;
  const T* k = nullptr;
  ptrdiff_t k_row = 0;
  const T* v = nullptr;
  ptrdiff_t v_row = 0;
  T scale = 1;
  ptrdiff_t key_length = 0;
  ptrdiff_t keys = 0;   // keys from here on are padding
  bool causal = false;  // query i attends to key j when j <= i + offset
  ptrdiff_t offset = 0;
  bool windowed = false;  // and when j >= i + begin
  ptrdiff_t begin = 0;
  MaskRule rule;  // and when the rule, where it has steps, says so
  // Bit i % 64 of mask[i / 64 · mask_row + j · mask_col]: true = may attend (see pack_mask)
  const std::uint64_t* mask = nullptr;
  ptrdiff_t mask_row = 0, mask_col = 0;
  const T* bias = nullptr;
  ptrdiff_t bias_row = 0, bias_col = 0;
  bool dropout = false;
  std::uint64_t stream = 0;      // of this head
  std::uint32_t drop_below = 0;  // keep where the random bits are >= this
  T keep_scale = 1;
  const ScoreCode* program = nullptr;           // the modified scores
  const ScoreCode* program_slope = nullptr;     // backward: the scores and their slope
  const ScoreCode* program_sums = nullptr;      // backward: the gradients of the tables, or null
  T* registers = nullptr;                       // score_scratch elements, of this task
  ptrdiff_t batch = 0, head = 0, q_offset = 0;  // what the program's b, h and i count
  std::uint64_t* out_of_bounds = nullptr;       // bit n is set when look-up n left its table
  T sink = T(-__builtin_inf());                 // one more score, of a key without a value; none: -inf
};

template <typename T>
struct AttentionGradient {
  const T* d_out = nullptr;
  ptrdiff_t d_out_row = 0;
  const T* row_max = nullptr;  // (L,) as forward left them
  const T* row_inverse = nullptr;
  const T* delta = nullptr;      // (L,) Σ_c dO∘O (+ Σ_j dP∘P for gradients of the weights)
  const T* d_weights = nullptr;  // (L, S) or null
  ptrdiff_t d_weights_row = 0;
  T* d_q = nullptr;  // (L, d) scratch of this task, transposed in panels: written
  T* d_k = nullptr;  // rows key_begin …
  ptrdiff_t d_k_row = 0;
  T* d_v = nullptr;
  ptrdiff_t d_v_row = 0;
  bool add_kv = false;  // add to d_k and d_v (later heads of a group)
  T* d_bias = nullptr;  // (L, S) or null: written
  ptrdiff_t d_bias_row = 0;
  T* const* d_tables = nullptr;  // of the score program's tables: added to
};

template <typename T>
struct AttentionKernels {
  ptrdiff_t panel;  // queries of a block
  // Elements; weight_keys: the keys of a row of weights, 0 when they are not asked for.
  ptrdiff_t (*forward_scratch)(ptrdiff_t d, ptrdiff_t d_v, ptrdiff_t weight_keys);
  // Elements of AttentionHead::registers: those of the programs, and tiles that backward keeps.
  ptrdiff_t (*score_scratch)(ptrdiff_t per_head, ptrdiff_t per_query, ptrdiff_t chunks, bool backward);
  // out rows [begin, end). begin is a multiple of `panel`. Of each row it leaves the largest score, in units of log2 e, and
  // 1 / Σ_j 2^(s_ij - max_i): the weights are then 2^(s_ij - max_i) · inverse_i, at most 1 however large the scores are,
  // where exp(s_ij - lse_i) would be off by the rounding of lse. Nothing attended: -inf and 0.
  // Where `weights` is not null the weights (all key_length columns) are written too; `out` is the same to the bit.
  void (*forward)(const AttentionHead<T>& head, ptrdiff_t begin, ptrdiff_t end, T* out, ptrdiff_t out_row, T* row_max,
                  T* row_inverse, T* weights, ptrdiff_t weights_row, T* scratch);
  // delta[i] = Σ_c a[i, c] b[i, c]
  void (*row_dots)(const T* a, ptrdiff_t a_row, const T* b, ptrdiff_t b_row, ptrdiff_t rows, ptrdiff_t cols, T* delta);
  ptrdiff_t (*backward_scratch)(ptrdiff_t query_length, ptrdiff_t d, ptrdiff_t d_v);
  ptrdiff_t (*d_q_scratch)(ptrdiff_t query_length, ptrdiff_t d);
  // Gradients of keys [key_begin, key_end) and this range's part of d_q (in the layout of finish_d_q).
  void (*backward)(const AttentionHead<T>& head, const AttentionGradient<T>& grad, ptrdiff_t key_begin,
                   ptrdiff_t key_end, T* scratch);
  // d_q rows from the scratch layout, times the scale.
  void (*finish_d_q)(const AttentionHead<T>& head, const T* d_q_panels, T* d_q, ptrdiff_t d_q_row);
};

template <typename T>
const AttentionKernels<T>& attention_kernels();

}  // namespace attendo::kernels
