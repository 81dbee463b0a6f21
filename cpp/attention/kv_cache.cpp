// Key-value cache: decoding position by position, or chunk by chunk
//
//   position t:   K ← [K, k_t]    V ← [V, v_t]    o_t = attention(q_t, K, V)
//
// which is row t of causal attention over the whole sequence, without computing the rows before it again.
//
// k: (…, Hkv, T, D).  v: (…, Hkv, T, Dv).  q: (…, H, L, D).  Room grows by doubling, so that n positions cost O(n) copies.
// With a window w, position t sees t - w + 1 … t; what no later position can see is let go.   Shazeer 2019, §2.4.
#include "attention/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "ops/shape.h"

namespace attendo {
namespace {

constexpr Index kFirstRoom = 16;

size_t product(Index a, Index b, Index c) {
  return static_cast<size_t>(a) * static_cast<size_t>(b) * static_cast<size_t>(c);
}

// `count` rows of every head, from one place to another.
void copy_rows(const HeadRows& from, Index batch, Index heads, Index count, Index d, const Tensor& to, Index begin) {
  const Index width = static_cast<Index>(dtype_size(to.dtype()));
  for (Index b = 0; b < batch; ++b) {
    for (Index h = 0; h < heads; ++h) {
      std::byte* out = to.raw() + ((b * heads + h) * to.dim(2) + begin) * d * width;
      const std::byte* in = from.source.raw() + (from.at + b * from.batch + h * from.head) * width;
      if (from.row == d) {
        std::memcpy(out, in, product(count, d, width));
        continue;
      }
      for (Index t = 0; t < count; ++t)
        std::memcpy(out + t * d * width, in + t * from.row * width, product(1, d, width));
    }
  }
}

HeadRows dense_rows(const Tensor& x, Index heads) {
  const Index row = x.dim(-1), head = row * x.dim(-2);
  return {x, 0, head * heads, head, row};
}

HeadRows column_rows(const HeadColumns& x, Index head_dim) {
  return {x.source, x.at, x.source.dim(1) * x.source.dim(2), head_dim, x.source.dim(2)};
}

void check_untracked(const char* op, const char* name, const Tensor& x) {
  if (needs_grad({&x})) {
    value_error(op, ": ", name,
                " requires a gradient, which a cache cannot carry: call it within attendo.no_grad(), or give ", name,
                ".detach()");
  }
}

// (…, T, D) -> (…) as far as a cache is concerned.
Shape lead_of(const Tensor& x) { return x.shape().slice(0, x.rank() - 2); }

Index batch_of(const Shape& lead) { return lead.product(0, std::max(0, lead.rank() - 1)); }
Index heads_of(const Shape& lead) { return lead.rank() == 0 ? 1 : lead[-1]; }

void check_counts(const char* op, const Tensor& counts, Index batch, Index most) {
  if (counts.dtype() != DType::kInt64) {
    type_error(op, ": lengths has dtype ", dtype_name(counts.dtype()), " but must be integers");
  }
  if (counts.rank() != 1 || counts.size() != batch) {
    value_error(op, ": lengths has shape ", counts.shape(), " but must be (", batch, ",), one for each batch entry");
  }
  for (Index b = 0; b < batch; ++b) {
    const Index n = counts.data<std::int64_t>()[b];
    if (n < 0 || n > most) value_error(op, ": lengths holds ", n, " but must hold 0 to ", most, ", the new positions");
  }
}

// The columns [begin, end) of an array over all positions; one that is the same for all stays as it is.
Tensor columns(const Tensor& x, Index begin, Index end, Index all) {
  if (!x || x.rank() == 0 || x.dim(-1) != all || (begin == 0 && end == all)) return x;
  std::vector<SliceAxis> key;
  for (int axis = 0; axis < x.rank(); ++axis) key.push_back({0, x.dim(axis), 1, false});
  key.back() = {begin, end, 1, false};
  return slice(x, key);
}

}  // namespace

KVCache::KVCache(Index capacity, Index window) : capacity_(capacity), window_(window) {
  if (capacity < 0) value_error("KVCache: capacity is ", capacity, " but must be 0 or more");
  if (window < 0) value_error("KVCache: window is ", window, " but must be 1 or more");
}

bool KVCache::ragged() const {
  return std::any_of(lengths_.begin(), lengths_.end(), [&](Index n) { return n != longest_; });
}

void KVCache::append(const Tensor& k, const Tensor& v, const Tensor& counts) {
  constexpr const char* kName = "KVCache.append";
  check_float(kName, "k", k);
  check_min_rank(kName, "k", k, 2, "(..., heads, length, features)");
  check_float(kName, "v", v);
  check_same_dtype(kName, "v", v, "k", k);
  check_untracked(kName, "k", k);
  check_untracked(kName, "v", v);
  const Shape lead = lead_of(k);
  if (v.rank() != k.rank() || !(lead_of(v) == lead) || v.dim(-2) != k.dim(-2)) {
    value_error(kName, ": v has shape ", v.shape(), " but k has shape ", k.shape(),
                "; all but the last axis must agree");
  }
  const Index heads = heads_of(lead), batch = batch_of(lead);
  append({dense_rows(k, heads), dense_rows(v, heads), batch, heads, k.dim(-2), k.dim(-1), v.dim(-1)}, lead, counts);
}

void KVCache::append(const HeadColumns& k, const HeadColumns& v, const HeadShape& s, const Tensor& counts) {
  const Index batch = k.source.dim(0);
  append({column_rows(k, s.head_dim), column_rows(v, s.value_dim), batch, s.kv_heads, k.source.dim(1), s.head_dim,
          s.value_dim},
         {batch, s.kv_heads}, counts);
}

void KVCache::append(const Rows& rows, const Shape& lead, const Tensor& counts) {
  constexpr const char* kName = "KVCache.append";
  const DType dtype = rows.k.source.dtype();
  if (k_) {
    if (dtype != k_.dtype()) {
      type_error(kName, ": k has dtype ", dtype_name(dtype), " but the cache holds ", dtype_name(k_.dtype()));
    }
    if (!(lead == lead_)) {
      value_error(kName, ": k has the axes ", lead, " before its length but the cache holds ", lead_);
    }
    if (rows.d != k_.dim(3)) value_error(kName, ": k has ", rows.d, " features but the cache holds ", k_.dim(3));
    if (rows.d_v != v_.dim(3)) value_error(kName, ": v has ", rows.d_v, " features but the cache holds ", v_.dim(3));
  }
  std::vector<Index> fresh(static_cast<size_t>(rows.batch), rows.count);
  if (counts) {
    check_counts(kName, counts, rows.batch, rows.count);
    std::copy_n(counts.data<std::int64_t>(), rows.batch, fresh.begin());
  }
  const bool uneven = ragged() || std::any_of(fresh.begin(), fresh.end(), [&](Index n) { return n != fresh.front(); });
  if (uneven && window_ > 0) {
    value_error(kName, ": lengths differ between batch entries, which a cache with a window does not support");
  }
  if (!k_) {
    const Tensor new_k = Tensor::empty({rows.batch, rows.heads, std::max(capacity_, rows.count), rows.d}, dtype);
    v_ = Tensor::empty({rows.batch, rows.heads, std::max(capacity_, rows.count), rows.d_v}, dtype);
    k_ = new_k;
    lead_ = lead;
    lengths_.assign(static_cast<size_t>(rows.batch), 0);
  }
  if (!uneven) {
    const Index count = fresh.empty() ? rows.count : fresh.front();
    make_room(count);
    copy_rows(rows.k, rows.batch, rows.heads, count, rows.d, k_, begin_ + longest_ - first_);
    copy_rows(rows.v, rows.batch, rows.heads, count, rows.d_v, v_, begin_ + longest_ - first_);
  } else {
    Index longest = longest_;
    for (size_t b = 0; b < fresh.size(); ++b) longest = std::max(longest, lengths_[b] + fresh[b]);
    make_room(longest - longest_);
    for (Index b = 0; b < rows.batch; ++b) {
      const auto i = static_cast<size_t>(b);
      HeadRows k = rows.k, v = rows.v;
      k.at += b * k.batch, v.at += b * v.batch;
      auto entry = [&](const Tensor& x) {  // x[b:b + 1]
        const size_t bytes = product(b * rows.heads, x.dim(2), x.dim(3)) * dtype_size(x.dtype());
        return Tensor::borrow({x.impl()->data, x.raw() + bytes}, {1, rows.heads, x.dim(2), x.dim(3)}, x.dtype());
      };
      copy_rows(k, 1, rows.heads, fresh[i], rows.d, entry(k_), lengths_[i]);
      copy_rows(v, 1, rows.heads, fresh[i], rows.d_v, entry(v_), lengths_[i]);
    }
  }
  for (size_t b = 0; b < fresh.size(); ++b) lengths_[b] += fresh[b];
  longest_ = lengths_.empty() ? longest_ + rows.count : *std::max_element(lengths_.begin(), lengths_.end());
}

// For so many new positions, behind those that one of them can still see.
void KVCache::make_room(Index positions) {
  if (window_ > 0 && longest_ - first_ > window_ - 1 && positions > 0) {
    const Index gone = longest_ - first_ - (window_ - 1);
    first_ += gone, begin_ += gone;
  }
  const Index stored = longest_ - first_, needed = stored + positions, room = k_.dim(2);
  if (begin_ + needed <= room) return;
  // With a window there is enough where at least half of the room is free once the rest has moved to the front.
  const bool enough = window_ > 0 && 2 * needed <= room;
  const Index new_room = enough ? room : std::max({kFirstRoom, 2 * room, window_ > 0 ? 2 * needed : needed});
  auto moved = [&](const Tensor& x) {
    const Tensor to = Tensor::empty({x.dim(0), x.dim(1), new_room, x.dim(3)}, x.dtype());
    const size_t row = static_cast<size_t>(x.dim(3)) * dtype_size(x.dtype());
    for (Index bh = 0; bh < x.dim(0) * x.dim(1); ++bh) {
      std::memcpy(to.raw() + static_cast<size_t>(bh * new_room) * row,
                  x.raw() + static_cast<size_t>(bh * room + begin_) * row, static_cast<size_t>(stored) * row);
    }
    return to;
  };
  const Tensor new_k = moved(k_);
  v_ = moved(v_);
  k_ = new_k;
  begin_ = 0;
}

void KVCache::check_rows(Index length) const {
  constexpr const char* kName = "KVCache.attend";
  if (!k_) value_error(kName, ": the cache is empty: append keys and values first");
  for (const Index n : lengths_) {
    if (length <= n) continue;
    value_error(kName, ": q has ", length, " positions but the cache holds ", n, ", and q's are the last of them");
  }
  if (window_ > 0 && longest_ - length - window_ + 1 < first_ && first_ > 0 && length > 0) {
    value_error(kName, ": q has ", length,
                " positions, but keys that the first one sees have left the window: attend to ",
                "new positions before the next ones are appended");
  }
}

void KVCache::run(const HeadRows& q, const HeadRows& out, Index heads, Index length, const Shape& weights_shape,
                  const AttentionOptions& given, const Tensor& fresh, const PrefixRows& prefix) const {
  const Index batch = k_.dim(0), d = k_.dim(3), d_v = v_.dim(3);
  AttentionOptions options = given;
  options.causal = true;
  auto cached = [&](const Tensor& x, Index position) {
    const Index row = x.dim(3), head = row * x.dim(2);
    return HeadRows{x, (begin_ + position - first_) * row, head * x.dim(1), head, row};
  };
  // Queries [i, i + count) against the keys at positions [from, to).
  auto attend = [&](Index i, Index count, Index from, Index to) {
    HeadRows rows = q, result = out;
    rows.at += i * q.row, result.at += i * out.row;
    Shape shape = weights_shape;
    shape[-2] = count, shape[-1] = to - from;
    attend_rows(rows, cached(k_, from), cached(v_, from), result, {batch, heads, k_.dim(1), count, to - from, d, d_v},
                shape, options, prefix);
  };
  if (ragged() || fresh) {
    const Tensor lengths = Tensor::empty({batch}, DType::kInt64), offsets = Tensor::empty({batch}, DType::kInt64);
    for (Index b = 0; b < batch; ++b) {
      const Index n = lengths_[static_cast<size_t>(b)];
      std::int64_t& seen = lengths.data<std::int64_t>()[b];
      seen = given.key_lengths ? std::min<Index>(n, given.key_lengths.data<std::int64_t>()[b]) : n;
      offsets.data<std::int64_t>()[b] = n - (fresh ? fresh.data<std::int64_t>()[b] : length);
    }
    options.key_lengths = lengths, options.q_offsets = offsets;
    attend(0, length, 0, longest_);
    if (!fresh) return;
    const Index width = static_cast<Index>(dtype_size(out.source.dtype()));
    for (Index b = 0; b < batch; ++b) {
      for (Index h = 0; h < heads; ++h) {
        for (Index i = fresh.data<std::int64_t>()[b]; i < length; ++i) {
          std::memset(out.source.raw() + (out.at + b * out.batch + h * out.head + i * out.row) * width, 0,
                      product(1, d_v, width));
        }
      }
    }
    return;
  }
  const Index start = longest_ - length;  // position of the first query
  const Index from = window_ > 0 ? first_ : 0;
  options.q_offset = start - from;
  if (window_ > 0) options.left = std::min(window_ - 1, given.left.value_or(window_ - 1));
  if (from > 0) {  // what is given over all positions, of those that are held
    if (given.program) {
      value_error("attention: score_mod counts positions from the first, but the window has let go of ", from,
                  " of them");
    }
    if (given.rule) {
      value_error("attention: mask counts keys from the first, but the window has let go of ", from,
                  " of them: give causal, window, lengths, prefix or one dense mask, joined by & alone");
    }
    options.mask = columns(given.mask, from, longest_, longest_);
    options.bias = columns(given.bias, from, longest_, longest_);
    if (given.key_lengths) {
      options.key_lengths = given.key_lengths.clone();
      auto* seen = options.key_lengths.data<std::int64_t>();
      for (Index b = 0; b < batch; ++b) seen[b] = std::clamp<Index>(seen[b] - from, 0, longest_ - from);
    }
  }
  attend(0, length, from, longest_);
}

Tensor KVCache::attend(const Tensor& q, const AttentionOptions& options, const Tensor& fresh) const {
  constexpr const char* kName = "KVCache.attend";
  check_float(kName, "q", q);
  check_min_rank(kName, "q", q, 2, "(..., heads, length, features)");
  check_untracked(kName, "q", q);
  if (options.bias) check_untracked(kName, "bias", options.bias);
  if (options.sinks) check_untracked(kName, "sinks", options.sinks);
  check_rows(fresh ? 0 : q.dim(-2));
  if (q.dtype() != k_.dtype()) {
    type_error(kName, ": q has dtype ", dtype_name(q.dtype()), " but the cache holds ", dtype_name(k_.dtype()));
  }
  const Shape lead = lead_of(q);
  const Index heads = heads_of(lead), kv_heads = k_.dim(1);
  const int axes = std::max(0, lead.rank() - 1);
  if (lead.rank() != lead_.rank() || !(lead.slice(0, axes) == lead_.slice(0, axes))) {
    value_error(kName, ": q has the axes ", lead, " before its length but the cache holds ", lead_,
                "; all but the heads must agree");
  }
  if (kv_heads == 0 ? heads != 0 : heads % kv_heads != 0) {
    value_error(kName, ": q has ", heads, " heads, which is not a multiple of the cache's ", kv_heads);
  }
  if (q.dim(-1) != k_.dim(3)) value_error(kName, ": q has ", q.dim(-1), " features but the cache holds ", k_.dim(3));
  if (fresh) check_counts(kName, fresh, k_.dim(0), q.dim(-2));
  Shape out_shape = q.shape(), weights_shape = q.shape();
  out_shape[-1] = v_.dim(3);
  weights_shape[-1] = longest_;
  // Here, since what follows sees parts of them only.
  for (const auto& [name, x] : {std::pair{"mask", &options.mask}, std::pair{"bias", &options.bias}}) {
    Shape together;
    if (*x && !(try_broadcast(x->shape(), weights_shape, together) && together == weights_shape)) {
      value_error(kName, ": ", name, " has shape ", x->shape(), ", which does not broadcast to the weights' shape ",
                  weights_shape);
    }
  }
  const Tensor out = Tensor::empty(out_shape, q.dtype());
  if (heads == 0) return out;
  renaming_errors("attention", kName, [&] {
    run(dense_rows(q, heads), dense_rows(out, heads), heads, q.dim(-2), weights_shape, options, fresh, {});
  });
  return out;
}

Tensor KVCache::attend(const HeadColumns& q, const HeadShape& s, const AttentionOptions& options, const Tensor& fresh,
                       const PrefixRows& prefix) const {
  const Index batch = q.source.dim(0), length = q.source.dim(1);
  check_rows(fresh ? 0 : length);
  const Tensor out = Tensor::empty({batch, length, s.heads * s.value_dim}, q.source.dtype());
  run(column_rows(q, s.head_dim), column_rows({out, 0}, s.value_dim), s.heads, length,
      {batch, s.heads, length, longest_}, options, fresh, prefix);
  return out;
}

void KVCache::check_entries(const char* op, const std::vector<Index>& entries) const {
  if (!k_) value_error(op, ": the cache is empty: append keys and values first");
  if (lead_.rank() != 2) {
    value_error(op, ": the cache holds keys of shape (", lead_,
                ", length, features), but entries needs one batch axis: "
                "(batch, heads, length, features)");
  }
  const Index batch = k_.dim(0);
  for (const Index b : entries) {
    if (b < 0 || b >= batch) {
      value_error(op, ": entries holds ", b, " but must hold 0 to ", batch - 1, ": the cache has a batch of ", batch);
    }
  }
}

// The held rows of one batch entry up to position `length`; both have the same room.
void KVCache::copy_entry(const Tensor& from, Index source, const Tensor& to, Index target, Index length) const {
  const Index heads = from.dim(1), room = from.dim(2);
  const size_t row = static_cast<size_t>(from.dim(3)) * dtype_size(from.dtype());
  for (Index h = 0; h < heads; ++h) {
    std::memcpy(to.raw() + static_cast<size_t>((target * heads + h) * room + begin_) * row,
                from.raw() + static_cast<size_t>((source * heads + h) * room + begin_) * row,
                static_cast<size_t>(length - first_) * row);
  }
}

KVCache KVCache::fork(const std::vector<Index>& entries) const {
  check_entries("KVCache.fork", entries);
  KVCache copy = *this;
  copy.lead_[0] = static_cast<Index>(entries.size());
  copy.lengths_.clear();
  for (const Index b : entries) copy.lengths_.push_back(lengths_[static_cast<size_t>(b)]);
  if (!entries.empty()) copy.longest_ = *std::max_element(copy.lengths_.begin(), copy.lengths_.end());
  auto gathered = [&](const Tensor& x) {
    const Tensor to = Tensor::empty({copy.lead_[0], x.dim(1), x.dim(2), x.dim(3)}, x.dtype());
    for (size_t i = 0; i < entries.size(); ++i) {
      copy_entry(x, entries[i], to, static_cast<Index>(i), lengths_[static_cast<size_t>(entries[i])]);
    }
    return to;
  };
  copy.k_ = gathered(k_), copy.v_ = gathered(v_);
  return copy;
}

void KVCache::reorder(const std::vector<Index>& entries) {
  check_entries("KVCache.reorder", entries);
  if (static_cast<Index>(entries.size()) != k_.dim(0)) {
    *this = fork(entries);
    return;
  }
  // An entry may be written once nobody reads it any more.
  std::vector<Index> readers(entries.size(), 0), ready;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i] != static_cast<Index>(i)) ++readers[static_cast<size_t>(entries[i])];
  }
  auto changes = [&](Index i) { return entries[static_cast<size_t>(i)] != i; };
  for (Index i = 0; i < k_.dim(0); ++i) {
    if (changes(i) && readers[static_cast<size_t>(i)] == 0) ready.push_back(i);
  }
  std::vector<char> written(entries.size(), 0);
  const std::vector<Index> lengths = lengths_;
  auto write = [&](Index i, const Tensor& from_k, const Tensor& from_v, Index source) {
    const Index length = lengths[static_cast<size_t>(entries[static_cast<size_t>(i)])];
    copy_entry(from_k, source, k_, i, length);
    copy_entry(from_v, source, v_, i, length);
    lengths_[static_cast<size_t>(i)] = length;
    written[static_cast<size_t>(i)] = 1;
  };
  while (!ready.empty()) {
    const Index i = ready.back(), source = entries[static_cast<size_t>(i)];
    ready.pop_back();
    write(i, k_, v_, source);
    if (--readers[static_cast<size_t>(source)] == 0 && changes(source)) ready.push_back(source);
  }
  // What is left are cycles: one entry of each is set aside.
  for (Index i = 0; i < k_.dim(0); ++i) {
    if (!changes(i) || written[static_cast<size_t>(i)]) continue;
    const KVCache aside = fork({i});
    Index at = i;
    for (; entries[static_cast<size_t>(at)] != i; at = entries[static_cast<size_t>(at)]) {
      write(at, k_, v_, entries[static_cast<size_t>(at)]);
    }
    write(at, aside.k_, aside.v_, 0);
  }
  if (!lengths_.empty()) longest_ = *std::max_element(lengths_.begin(), lengths_.end());
}

KVCache KVCache::fork() const {
  KVCache copy = *this;
  if (k_) copy.k_ = k_.clone(), copy.v_ = v_.clone();
  return copy;
}

void KVCache::truncate(Index length) {
  if (length < 0 || length > longest_) {
    value_error("KVCache.truncate: length is ", length, " but must be 0 to ", longest_, ", the positions there are");
  }
  // The next position sees window - 1 before it.
  if (length > 0 && first_ > std::max<Index>(0, length - window_ + 1)) {
    value_error("KVCache.truncate: length is ", length, ", but of the positions before it only those from ", first_,
                " on are still held, fewer than the window of ", window_, " needs");
  }
  for (Index& n : lengths_) n = std::min(n, length);
  longest_ = length;
  if (length == 0) first_ = begin_ = 0;
}

// Undefined rows of shorter batch entries are zeros.
Tensor KVCache::held(const Tensor& x) const {
  const Index count = longest_ - first_, d = x.dim(3), heads = x.dim(1);
  Shape shape = lead_;
  shape.push_back(count);
  shape.push_back(d);
  const Tensor out = Tensor::zeros(shape, x.dtype());
  const size_t row = static_cast<size_t>(d) * dtype_size(x.dtype());
  for (Index bh = 0; bh < x.dim(0) * heads; ++bh) {
    const Index mine = lengths_[static_cast<size_t>(bh / heads)] - first_;
    std::memcpy(out.raw() + static_cast<size_t>(bh * count) * row,
                x.raw() + static_cast<size_t>(bh * x.dim(2) + begin_) * row, static_cast<size_t>(mine) * row);
  }
  return out;
}

std::string KVCache::str() const {
  std::string text = concat("KVCache(length=", longest_);
  if (ragged()) text += concat(" at most");
  if (k_) {
    Shape shape = lead_;
    text += concat(", axes=", shape, ", features=", k_.dim(3), "+", v_.dim(3), ", dtype=", dtype_name(k_.dtype()));
  }
  text += concat(", capacity=", capacity());
  if (window_ > 0) text += concat(", window=", window_);
  return text + ")";
}

}  // namespace attendo
