// The options that all Transformer layers and the models made of them share, as keyword arguments.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "bindings/convert.h"
#include "nn/encoder_layer.h"

namespace attendo::bindings {

// Keyword arguments that are taken out one by one; what is left at the end has no meaning.
class Keywords {
 public:
  Keywords(const char* op, const py::kwargs& given) : op_(op), given_(given) {}
  const char* op() const { return op_; }

  // `into` keeps its value where the name was not given, or given as None.
  void take(const char* name, Index& into) {
    use(name, [&](auto x) { into = index_arg(op_, name, x); });
  }
  void take(const char* name, double& into) {
    use(name, [&](auto x) { into = number_arg(op_, name, x); });
  }
  void take(const char* name, bool& into);
  void take(const char* name, std::string& into);
  void take(const char* name, DType& into) {
    use(name, [&](auto x) { into = dtype_arg(op_, x); });
  }
  void take(const char* name, std::vector<double>& into);
  template <typename T>
  void take(const char* name, std::optional<T>& into) {
    use(name, [&](auto) {
      T value{};
      take(name, value);
      into = value;
    });
  }
  void take(const char* name, py::object& into) {
    use(name, [&](auto x) { into = x; });
  }
  // The same, and 1 or more: 0 stands for "not given" in C++, and is refused here.
  void take_size(const char* name, Index& into);
  std::optional<std::uint64_t> take_seed();
  // TypeError where a name was given that nobody took.
  void end() const;

 private:
  template <typename Body>
  void use(const char* name, const Body& body) {
    if (!given_.contains(name)) return;
    names_.insert(name);
    const py::object value = given_[name];
    if (!value.is_none()) body(value);
  }

  const char* op_;
  const py::kwargs& given_;
  std::set<std::string> names_;
};

// dropout, activation, norm_first, dtype, norm, norm_eps, bias, qkv_bias, out_bias, num_kv_heads, head_dim, attention_scale, qk_norm
void take_layer_options(Keywords& keywords, nn::LayerOptions& options);
// rotary_dim, rotary_base, rotary_frequencies, rotary_interleaved
void take_rotary(Keywords& keywords, nn::Rotary& rotary);

// The same under their names in a model's config. Those that came with later models stand there only where they are not
// what the paper has, so that the config of a plain model stays one.
void put_layer_options(py::dict& config, const nn::LayerOptions& options);
void put_rotary(py::dict& config, const nn::Rotary& rotary);

}  // namespace attendo::bindings
