#pragma once

#include "attention/scaled_dot_product.h"

namespace attendo {

// Keys and values of the positions so far. Off the tape. A copy shares the rows, and stays as it is while the other appends;
// it must not append then itself, but fork first.
class KVCache {
 public:
  // capacity: positions to make room for at once. window: keys that a query sees, itself included; 0: all.
  explicit KVCache(Index capacity = 0, Index window = 0);

  // k (…, Hkv, T, D), v (…, Hkv, T, Dv): the next T positions. counts: int64 (batch,), how many of them are real in each
  // batch entry; undefined: all.
  void append(const Tensor& k, const Tensor& v, const Tensor& counts = {});
  // The same from projections (B, T, ·) with heads side by side.
  void append(const HeadColumns& k, const HeadColumns& v, const HeadShape& shape, const Tensor& counts = {});

  // q (…, H, L, D), the last L positions, each attending to itself and those before it -> (…, H, L, Dv). mask and bias are
  // over all positions, 0 to length - 1; causal is understood. fresh: int64 (batch,), of how many of the L rows the positions
  // are the last ones, where entries differ; the rows behind them give zeros.
  Tensor attend(const Tensor& q, const AttentionOptions& options, const Tensor& fresh = {}) const;
  // q: columns of (B, L, ·) -> (B, L, H·value_dim)
  Tensor attend(const HeadColumns& q, const HeadShape& shape, const AttentionOptions& options, const Tensor& fresh = {},
                const PrefixRows& prefix = {}) const;

  // Batch entries in another order, some more than once, some not at all: copies, with room for as much.
  KVCache fork(const std::vector<Index>& entries) const;
  KVCache fork() const;
  // The same in place: only entries that change are copied, none where entries is 0, 1, … batch - 1.
  void reorder(const std::vector<Index>& entries);
  // Forgets the positions from `length` on.
  void truncate(Index length);
  void reset() { truncate(0); }

  Index length() const { return longest_; }  // of the longest batch entry, all positions ever appended
  const std::vector<Index>& lengths() const { return lengths_; }
  bool ragged() const;                    // batch entries differ in length
  Index first() const { return first_; }  // the first position still held
  Index capacity() const { return k_ ? k_.dim(2) : capacity_; }
  Index window() const { return window_; }
  // (…, Hkv, length - first, D or Dv), copied; undefined before the first append.
  Tensor keys() const { return k_ ? held(k_) : Tensor(); }
  Tensor values() const { return v_ ? held(v_) : Tensor(); }
  std::string str() const;

 private:
  struct Rows {  // what append copies: HeadRows of either form, and their sizes
    HeadRows k, v;
    Index batch, heads, count, d, d_v;
  };
  void append(const Rows& rows, const Shape& lead, const Tensor& counts);
  void make_room(Index positions);
  void run(const HeadRows& q, const HeadRows& out, Index heads, Index length, const Shape& weights_shape,
           const AttentionOptions& options, const Tensor& fresh, const PrefixRows& prefix) const;
  void check_rows(Index length) const;
  void check_entries(const char* op, const std::vector<Index>& entries) const;
  void copy_entry(const Tensor& from, Index source, const Tensor& to, Index target, Index length) const;
  Tensor held(const Tensor& x) const;

  Index capacity_, window_;
  Tensor k_, v_;  // (batch, Hkv, capacity, D or Dv)
  Shape lead_;    // (…, Hkv) as the caller has it, or ()
  std::vector<Index> lengths_;
  Index longest_ = 0;
  Index first_ = 0;  // position of the first row in use,
  Index begin_ = 0;  // and which row of k_ and v_ that is
};

}  // namespace attendo
