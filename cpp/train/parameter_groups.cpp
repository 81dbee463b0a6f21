// Groups of parameters by their names, and values by their names.
#include "train/parameter_groups.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace attendo::train {
namespace {

// Whether `c` is one of the set that begins behind the [ at `p`, and where the set ends; no end: [ stands for itself.
bool in_set(const char* p, const char* end, char c, const char** after) {
  const char* q = p;
  const bool negated = q < end && *q == '!';
  if (negated) ++q;
  const char* const first = q;
  bool found = false;
  for (; q < end && (*q != ']' || q == first); ++q) {
    if (q + 2 < end && q[1] == '-' && q[2] != ']') {
      found = found || (q[0] <= c && c <= q[2]);
      q += 2;
    } else {
      found = found || *q == c;
    }
  }
  if (q >= end) {
    *after = p;
    return c == '[';
  }
  *after = q + 1;
  return found != negated;
}

}  // namespace

double Options::* number_option(const std::string& name) {
  static const std::map<std::string, double Options::*> kNumbers = {
      {"eps", &Options::eps},
      {"weight_decay", &Options::weight_decay},
      {"momentum", &Options::momentum},
      {"dampening", &Options::dampening},
      {"alpha", &Options::alpha},
      {"lr_decay", &Options::lr_decay},
      {"initial_accumulator_value", &Options::initial_accumulator_value},
  };
  const auto at = kNumbers.find(name);
  return at == kNumbers.end() ? nullptr : at->second;
}

bool Options::* flag_option(const std::string& name) {
  if (name == "nesterov") return &Options::nesterov;
  if (name == "amsgrad") return &Options::amsgrad;
  if (name == "centered") return &Options::centered;
  return nullptr;
}

bool matches(const std::string& pattern, const std::string& name) {
  const char* p = pattern.data();
  const char* n = name.data();
  const char *const p_end = p + pattern.size(), *const n_end = n + name.size();
  // Where to go on when all that followed the last * did not fit: one character later.
  const char *star = nullptr, *retry = nullptr;
  while (n < n_end) {
    const char* after = p + 1;
    if (p < p_end && *p == '*') {
      star = ++p, retry = n;
    } else if (p < p_end && (*p == '?' || (*p == '[' ? in_set(p + 1, p_end, *n, &after) : *p == *n))) {
      p = after, ++n;
    } else if (star != nullptr) {
      p = star, n = ++retry;
    } else {
      return false;
    }
  }
  while (p < p_end && *p == '*') ++p;
  return p == p_end;
}

std::vector<size_t> assign_groups(const std::vector<ParameterGroup>& groups, const NamedTensors& parameters) {
  std::vector<size_t> group(parameters.size(), groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto take = [&](size_t i) { group[i] = std::min(group[i], g); };
    for (const std::string& pattern : groups[g].patterns) {
      bool found = false;
      for (size_t i = 0; i < parameters.size(); ++i) {
        if (parameters[i].first.empty() || !matches(pattern, parameters[i].first)) continue;
        found = true;
        take(i);
      }
      if (found) continue;
      const bool named =
          std::any_of(parameters.begin(), parameters.end(), [](const auto& p) { return !p.first.empty(); });
      if (!named)
        value_error("optimizer: groups[", g, "]: params has the pattern '", pattern,
                    "' but the parameters of a list have no names: attach the model, or give the tensors");
      value_error("optimizer: groups[", g, "]: params has the pattern '", pattern,
                  "', which is no parameter's name (names are like '", parameters[0].first, "')");
    }
    for (const Tensor& tensor : groups[g].tensors) {
      const auto at =
          std::find_if(parameters.begin(), parameters.end(), [&](const auto& p) { return p.second.same_as(tensor); });
      if (at == parameters.end())
        value_error("optimizer: groups[", g, "]: params has a tensor of shape ", tensor.shape(),
                    " that is not among the parameters attached");
      take(static_cast<size_t>(at - parameters.begin()));
    }
  }
  return group;
}

void check_count(const char* op, const std::string& name, const Tensor& value) {
  if (value.dtype() != DType::kInt64 || value.size() != 1) return;  // load_named says so
  const std::int64_t count = *value.data<std::int64_t>();
  if (count < 0 || count > std::int64_t{1} << 53)
    value_error(op, ": state['", name, "'] is ", count, " but must be between 0 and 2^53");
}

void load_named(const char* op, const NamedTensors& own, const NamedTensors& given) {
  std::map<std::string, Tensor> values(given.begin(), given.end());
  for (const auto& [name, target] : own) {
    const auto at = values.find(name);
    if (at == values.end()) value_error(op, ": state has no '", name, "'");
    const Tensor& value = at->second;
    if (!(value.shape() == target.shape()))
      value_error(op, ": state['", name, "'] has shape ", value.shape(), " but must have ", target.shape());
    if (value.dtype() != target.dtype())
      type_error(op, ": state['", name, "'] has dtype ", dtype_name(value.dtype()), " but must have ",
                 dtype_name(target.dtype()));
    values.erase(at);
  }
  if (!values.empty()) value_error(op, ": state has '", values.begin()->first, "', which is not known here");
  for (const auto& [name, target] : own) {
    const Tensor value =
        std::find_if(given.begin(), given.end(), [&](const auto& g) { return g.first == name; })->second;
    std::memmove(target.raw(), value.raw(), target.bytes());
  }
}

}  // namespace attendo::train
