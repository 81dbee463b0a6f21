#include "nn/multi_head_attention.h"

#include <cmath>

#include "core/cost.h"
#include "nn/adapter.h"
#include "nn/kv_prefix.h"
#include "ops/linear.h"

namespace attendo::nn {

namespace {

constexpr const char* kOp = "MultiHeadAttention";
constexpr Index kMost = Index{1} << 28;  // features: products of sizes stay far from overflow

void check_rotary(Rotary& r, Index head_dim) {
  if (!r.frequencies.empty()) r.dim = 2 * static_cast<Index>(r.frequencies.size());
  if (r.dim == 0) r.dim = head_dim;
  if (r.dim < 2 || r.dim % 2 != 0 || r.dim > head_dim) {
    value_error(kOp, ": rotary_dim is ", r.dim, " but must be even, 2 or more and at most head_dim, which is ",
                head_dim);
  }
  if (!(r.base > 0) || !std::isfinite(r.base)) {
    value_error(kOp, ": rotary_base is ", r.base, " but must be positive and finite");
  }
  for (const double f : r.frequencies) {
    if (!std::isfinite(f)) value_error(kOp, ": rotary_frequencies holds ", f, " but must hold finite numbers");
  }
  if (r.frequencies.empty()) r.frequencies = inverse_frequencies(r.dim, r.base, {});
}

// (B, count): `count` positions from first[b] on.
template <typename Int>
Tensor positions_from(const Int* first, Index batch, Index count) {
  const Tensor positions = Tensor::empty({batch, count}, DType::kInt64);
  for (Index i = 0; i < batch * count; ++i) positions.data<std::int64_t>()[i] = first[i / count] + i % count;
  return positions;
}

PrefixRows prefix_of(const Module& layer) {
  const auto prefix = layer.child<KVPrefix>("prefix");
  return prefix ? PrefixRows{prefix->key(), prefix->value()} : PrefixRows();
}

MultiHeadOptions filled_in(MultiHeadOptions o) {
  if (o.num_kv_heads == 0) o.num_kv_heads = o.num_heads;
  if (o.head_dim == 0) {
    if (o.d_model < 1 || o.num_heads < 1 || o.d_model % o.num_heads != 0) {
      value_error(kOp, ": d_model is ", o.d_model, " and num_heads is ", o.num_heads,
                  "; both must be positive and d_model a multiple of num_heads, unless head_dim= is given");
    }
    o.head_dim = o.d_model / o.num_heads;
  }
  if (o.value_dim == 0) o.value_dim = o.head_dim;
  if (o.kdim == 0) o.kdim = o.d_model;
  if (o.vdim == 0) o.vdim = o.d_model;
  for (const auto& [name, n] :
       {std::pair{"d_model", o.d_model}, std::pair{"num_heads", o.num_heads}, std::pair{"num_kv_heads", o.num_kv_heads},
        std::pair{"head_dim", o.head_dim}, std::pair{"value_dim", o.value_dim}, std::pair{"kdim", o.kdim},
        std::pair{"vdim", o.vdim}}) {
    if (n < 1) value_error(kOp, ": ", name, " is ", n, " but must be 1 or more");
    if (n > kMost) value_error(kOp, ": ", name, " is ", n, " but must be ", kMost, " or less");
  }
  for (const auto& [name, n] : {std::pair{"head_dim", o.head_dim}, std::pair{"value_dim", o.value_dim}}) {
    if (o.num_heads * n <= kMost) continue;
    value_error(kOp, ": num_heads is ", o.num_heads, " and ", name, " is ", n, ", more than ", kMost,
                " features in all");
  }
  if (o.num_heads % o.num_kv_heads != 0) {
    value_error(kOp, ": num_heads is ", o.num_heads, " but must be a multiple of num_kv_heads, which is ",
                o.num_kv_heads);
  }
  if (!(o.dropout >= 0 && o.dropout < 1)) {
    value_error(kOp, ": dropout is ", o.dropout, " but must be 0 or more and below 1");
  }
  if (!o.out_bias) o.out_bias = o.bias;
  if (!(o.qk_norm_eps >= 0)) value_error(kOp, ": qk_norm_eps is ", o.qk_norm_eps, " but must be 0 or more");
  if (o.rotary) check_rotary(*o.rotary, o.head_dim);
  if (o.scale && !std::isfinite(*o.scale)) value_error(kOp, ": scale is ", *o.scale, " but must be a finite number");
  return o;
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(Index d_model, Index num_heads, double dropout, bool bias, DType dtype)
    : MultiHeadAttention(MultiHeadOptions{
          .d_model = d_model, .num_heads = num_heads, .dropout = dropout, .bias = bias, .dtype = dtype}) {}

MultiHeadAttention::MultiHeadAttention(MultiHeadOptions options) : options_(filled_in(options)) {
  const MultiHeadOptions& o = options_;
  const Index q = o.num_heads * o.head_dim, k = o.num_kv_heads * o.head_dim, v = o.num_kv_heads * o.value_dim;
  if (is_stacked()) {
    make_parameter("in_proj_weight", {q + k + v, o.d_model}, o.dtype);
  } else {
    make_parameter("q_proj_weight", {q, o.d_model}, o.dtype);
    make_parameter("k_proj_weight", {k, o.kdim}, o.dtype);
    make_parameter("v_proj_weight", {v, o.vdim}, o.dtype);
  }
  if (o.bias) make_parameter("in_proj_bias", {q + k + v}, o.dtype);
  if (o.qk_norm) {
    make_parameter("q_norm", {o.head_dim}, o.dtype);
    make_parameter("k_norm", {o.head_dim}, o.dtype);
  }
  out_proj_ = std::make_shared<Linear>(o.num_heads * o.value_dim, o.d_model, *o.out_bias, o.dtype);
  register_module("out_proj", out_proj_);
  reset_own(generator());
}

void MultiHeadAttention::reset_own(Generator& generator) {
  // Each projection by its own widths; biases start at zero.
  const MultiHeadOptions& o = options_;
  const MultiHeadWeights w = weights();
  const HeadShape s = shape();
  const Index q = s.heads * s.head_dim, k = s.kv_heads * s.head_dim, v = s.kv_heads * s.value_dim;
  if (!is_stacked()) {
    init_xavier(w.q_weight, o.d_model, q, generator);
    init_xavier(w.k_weight, o.kdim, k, generator);
    init_xavier(w.v_weight, o.vdim, v, generator);
  } else if (q == k && k == v) {
    init_xavier(w.in_weight, o.d_model, q, generator);
  } else {
    init_xavier(w.in_weight.rows(0, q), o.d_model, q, generator);
    init_xavier(w.in_weight.rows(q, q + k), o.d_model, k, generator);
    init_xavier(w.in_weight.rows(q + k, q + k + v), o.d_model, v, generator);
  }
  if (w.in_bias) std::fill_n(w.in_bias.raw(), w.in_bias.bytes(), std::byte{0});
  const HeadTransforms t = transforms({}, {});
  for (const Tensor& norm : {t.q_norm, t.k_norm}) {
    if (norm) std::copy_n(Tensor::full(norm.shape(), norm.dtype(), 1).raw(), norm.bytes(), norm.raw());
  }
}

MultiHeadWeights MultiHeadAttention::weights() const {
  const auto& own = own_parameters();
  MultiHeadWeights w;
  size_t next = 0;
  if (is_stacked()) {
    w.in_weight = own[next++].second;
  } else {
    w.q_weight = own[next++].second;
    w.k_weight = own[next++].second;
    w.v_weight = own[next++].second;
  }
  if (options_.bias) w.in_bias = own[next].second;
  w.out_weight = out_proj_->weight();
  w.out_bias = out_proj_->bias();
  return w;
}

HeadTransforms MultiHeadAttention::transforms(const RotaryOptions& q_positions,
                                              const RotaryOptions& k_positions) const {
  HeadTransforms t;
  if (options_.qk_norm) {
    const auto& own = own_parameters();
    t.q_norm = own[own.size() - 2].second, t.k_norm = own[own.size() - 1].second;
    t.norm_eps = options_.qk_norm_eps;
  }
  if (options_.rotary) {
    t.q_rotary = q_positions, t.k_rotary = k_positions;
    for (RotaryOptions* one : {&*t.q_rotary, &*t.k_rotary}) {
      one->frequencies = options_.rotary->frequencies;
      one->interleaved = options_.rotary->interleaved;
    }
  }
  return t;
}

HeadShape MultiHeadAttention::shape() const {
  return {options_.num_heads, options_.num_kv_heads, options_.head_dim, options_.value_dim};
}

AttentionResult MultiHeadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                               AttentionOptions options, bool return_weights) {
  CostScope scope(this);
  if (training()) {
    options.dropout = options_.dropout;
    options.generator = &generator();
  }
  if (!options.scale) options.scale = options_.scale;
  RotaryOptions q_positions;
  if (options.q_offsets) {
    q_positions.positions =
        positions_from(options.q_offsets.data<std::int64_t>(), options.q_offsets.size(), query.dim(1));
  } else {
    q_positions.offset = options.q_offset;
  }
  AttentionResult result = multi_head(query, key, value, weights(), shape(), options, return_weights,
                                      transforms(q_positions, {}), prefix_of(*this));
  result.out = adapted(*this, result.out);
  scope.gives(result.out);
  return result;
}

Tensor MultiHeadAttention::step(const Tensor& x, KVCache& cache, AttentionOptions options, const Tensor& counts) const {
  CostScope scope(this);
  const MultiHeadWeights w = weights();
  const HeadShape s = shape();
  const Index batch = x.dim(0), count = x.dim(1);
  RotaryOptions rotary;
  if (cache.ragged()) {
    rotary.positions = positions_from(cache.lengths().data(), batch, count);
  } else {
    rotary.offset = cache.length();
  }
  const ProjectedHeads p = project_heads(x, x, x, w, s, transforms(rotary, rotary));
  cache.append(p.k, p.v, s, counts);
  if (!options.scale) options.scale = options_.scale;
  const Tensor heads = cache.attend(p.q, s, options, counts, prefix_of(*this));
  return scope.gives(adapted(*this, linear(heads, w.out_weight, w.out_bias)));
}

Tensor MultiHeadAttention::project_memory(const Tensor& memory) const {
  CostScope scope(this);
  const MultiHeadWeights w = weights();
  const HeadShape s = shape();
  const Index q_end = s.heads * s.head_dim, v_end = q_end + s.kv_heads * (s.head_dim + s.value_dim);
  return linear(memory, w.in_weight.rows(q_end, v_end), w.in_bias ? w.in_bias.rows(q_end, v_end) : Tensor());
}

Tensor MultiHeadAttention::attend_memory(const Tensor& x, const Tensor& projected, AttentionOptions options) const {
  CostScope scope(this);
  const MultiHeadWeights w = weights();
  const HeadShape s = shape();
  const Index q_end = s.heads * s.head_dim;
  const Tensor q = linear(x, w.in_weight.rows(0, q_end), w.in_bias ? w.in_bias.rows(0, q_end) : Tensor());
  if (!options.scale) options.scale = options_.scale;
  const AttentionResult r =
      attend_heads({q, 0}, {projected, 0}, {projected, s.kv_heads * s.head_dim}, s, options, false, prefix_of(*this));
  return scope.gives(adapted(*this, linear(r.out, w.out_weight, w.out_bias)));
}

Tensors MultiHeadAttention::forward(const Tensors& inputs) {
  if (inputs.size() == 1) return {(*this)(inputs[0], inputs[0], inputs[0], {}).out};
  if (inputs.size() != 3)
    value_error("MultiHeadAttention: ", inputs.size(), " inputs were given but it takes query, key and value");
  return {(*this)(inputs[0], inputs[1], inputs[2], {}).out};
}

std::string MultiHeadAttention::extra_repr() const {
  const MultiHeadOptions& o = options_;
  std::string text = concat("d_model=", o.d_model, ", num_heads=", o.num_heads);
  if (o.num_kv_heads != o.num_heads) text += concat(", num_kv_heads=", o.num_kv_heads);
  if (o.head_dim * o.num_heads != o.d_model) text += concat(", head_dim=", o.head_dim);
  if (o.value_dim != o.head_dim) text += concat(", value_dim=", o.value_dim);
  if (o.kdim != o.d_model) text += concat(", kdim=", o.kdim);
  if (o.vdim != o.d_model) text += concat(", vdim=", o.vdim);
  if (o.qk_norm) text += ", qk_norm=True";
  if (o.rotary) text += ", rotary=True";
  return text + concat(", dropout=", o.dropout);
}

}  // namespace attendo::nn
