#include "bindings/layer_options.h"

namespace attendo::bindings {

void Keywords::take(const char* name, bool& into) {
  use(name, [&](auto x) {
    if (!py::isinstance<py::bool_>(x)) {
      type_error(op_, ": ", name, " is ", py::repr(x).template cast<std::string>(), " but must be True or False");
    }
    into = x.template cast<bool>();
  });
}

void Keywords::take(const char* name, std::string& into) {
  use(name, [&](auto x) {
    if (!py::isinstance<py::str>(x)) {
      type_error(op_, ": ", name, " is ", py::repr(x).template cast<std::string>(), " but must be a string");
    }
    into = x.template cast<std::string>();
  });
}

void Keywords::take(const char* name, std::vector<double>& into) {
  use(name, [&](auto x) {
    const Tensor values = to_tensor(x, op_, name, Want::kFloat, Memory::kCopy).to(DType::kFloat64);
    check_rank(op_, name, values, 1, "(pairs,)");
    into.assign(values.data<double>(), values.data<double>() + values.size());
  });
}

void Keywords::take_size(const char* name, Index& into) {
  use(name, [&](auto x) {
    into = index_arg(op_, name, x);
    if (into < 1) value_error(op_, ": ", name, " is ", into, " but must be 1 or more");
  });
}

std::optional<std::uint64_t> Keywords::take_seed() {
  std::optional<std::uint64_t> seed;
  use("seed", [&](auto x) { seed = seed_arg(op_, x); });
  return seed;
}

void Keywords::end() const {
  for (const auto& [key, value] : given_) {
    const auto name = key.cast<std::string>();
    if (!names_.contains(name)) type_error(op_, ": there is no argument ", name);
  }
}

void take_layer_options(Keywords& keywords, nn::LayerOptions& o) {
  keywords.take("dropout", o.dropout);
  keywords.take("activation", o.activation);
  keywords.take("norm_first", o.norm_first);
  keywords.take("dtype", o.dtype);
  keywords.take("norm", o.norm);
  if (o.norm != "layer" && o.norm != "rms") {
    value_error(keywords.op(), ": norm is '", o.norm, "' but must be 'layer' or 'rms'");
  }
  keywords.take("norm_eps", o.norm_eps);
  keywords.take("bias", o.bias);
  keywords.take("qkv_bias", o.qkv_bias);
  keywords.take("out_bias", o.out_bias);
  keywords.take_size("num_kv_heads", o.num_kv_heads);
  keywords.take_size("head_dim", o.head_dim);
  keywords.take("attention_scale", o.scale);
  keywords.take("qk_norm", o.qk_norm);
}

void take_rotary(Keywords& keywords, nn::Rotary& rotary) {
  keywords.take_size("rotary_dim", rotary.dim);
  keywords.take("rotary_base", rotary.base);
  keywords.take("rotary_frequencies", rotary.frequencies);
  keywords.take("rotary_interleaved", rotary.interleaved);
}

void put_layer_options(py::dict& config, const nn::LayerOptions& o) {
  const nn::LayerOptions plain;
  config["dropout"] = o.dropout, config["activation"] = o.activation, config["norm_first"] = o.norm_first;
  config["dtype"] = dtype_name(o.dtype);
  if (o.norm != plain.norm) config["norm"] = o.norm;
  if (o.norm_eps != plain.norm_eps) config["norm_eps"] = o.norm_eps;
  if (o.bias != plain.bias) config["bias"] = o.bias;
  if (o.qkv_bias) config["qkv_bias"] = *o.qkv_bias;
  if (o.out_bias) config["out_bias"] = *o.out_bias;
  if (o.num_kv_heads != 0) config["num_kv_heads"] = o.num_kv_heads;
  if (o.head_dim != 0) config["head_dim"] = o.head_dim;
  if (o.scale) config["attention_scale"] = *o.scale;
  if (o.qk_norm) config["qk_norm"] = o.qk_norm;
}

void put_rotary(py::dict& config, const nn::Rotary& rotary) {
  const nn::Rotary plain;
  if (rotary.dim != 0) config["rotary_dim"] = rotary.dim;
  if (rotary.base != plain.base) config["rotary_base"] = rotary.base;
  if (!rotary.frequencies.empty()) config["rotary_frequencies"] = py::cast(rotary.frequencies);
  if (rotary.interleaved) config["rotary_interleaved"] = true;
}

}  // namespace attendo::bindings
