#include "bindings/decoding.h"

#include <set>

#include "models/logits_processors.h"
#include "ops/shape.h"

namespace attendo::bindings {

using models::DecodeOptions;
using models::DecodeState;
using models::EarlyStopping;
using models::Ids;
using models::Prompts;

namespace {

using Object = const py::object&;

// A list, tuple or array of integers.
Ids ids_arg(const char* op, const char* name, py::handle value) {
  Ids ids;
  if (!has_length(value) || py::isinstance<py::str>(value)) {
    type_error(op, ": ", name, " is a ", Py_TYPE(value.ptr())->tp_name, " but must be a list of token ids");
  }
  for (const py::handle id : py::iter(value)) ids.push_back(index_arg(op, name, id));
  return ids;
}

std::vector<Ids> sequences_arg(const char* op, const char* name, py::handle value) {
  std::vector<Ids> sequences;
  if (!has_length(value) || py::isinstance<py::str>(value)) {
    type_error(op, ": ", name, " is a ", Py_TYPE(value.ptr())->tp_name, " but must be a list of lists of token ids");
  }
  for (const py::handle one : py::iter(value)) sequences.push_back(ids_arg(op, name, one));
  return sequences;
}

bool bool_arg(const char* op, const char* name, py::handle value) {
  if (!PyBool_Check(value.ptr())) {
    type_error(op, ": ", name, " is a ", Py_TYPE(value.ptr())->tp_name, " but must be True or False");
  }
  return value.ptr() == Py_True;
}

EarlyStopping early_stopping_arg(const char* op, py::handle value) {
  if (py::isinstance<py::str>(value) && value.cast<std::string>() == "never") return EarlyStopping::kNever;
  if (!PyBool_Check(value.ptr())) {
    value_error(op, ": early_stopping is ", py::repr(value).cast<std::string>(), " but must be True, False or 'never'");
  }
  return value.ptr() == Py_True ? EarlyStopping::kYes : EarlyStopping::kNo;
}

std::vector<std::uint64_t> seeds_arg(const char* op, py::handle seed, py::handle generator, Index batch) {
  std::vector<std::uint64_t> seeds;
  const auto n = static_cast<size_t>(batch);
  if (!seed.is_none() && !generator.is_none()) value_error(op, ": give seed or generator, not both");
  if (seed.is_none()) {
    Generator* given = generator_arg(op, generator);
    const std::uint64_t base = given != nullptr ? given->next_stream() : entropy();
    for (size_t b = 0; b < n; ++b) seeds.push_back(mix_seed(base, b));
  } else if (has_length(seed)) {
    for (const py::handle one : py::iter(seed)) seeds.push_back(*seed_arg(op, py::cast<py::object>(one)));
  } else {
    seeds.assign(n, *seed_arg(op, seed));
  }
  return seeds;
}

// A Python function from all tokens so far to the logits of the next one.
class CallableState : public DecodeState {
 public:
  CallableState(py::object step, const Prompts& prompts) : step_(std::move(step)), rows_(prompts.lengths.size()) {
    ragged_ = !prompts.counts().empty();
  }
  ~CallableState() override {
    const py::gil_scoped_acquire gil;
    step_ = py::object();
  }
  CallableState(const CallableState&) = delete;
  CallableState& operator=(const CallableState&) = delete;

  Tensor step(const Tensor& ids, const std::vector<Index>& counts) override {
    const Index count = ids.dim(1);
    size_t longest = 0;
    for (size_t r = 0; r < rows_.size(); ++r) {
      const std::int64_t* from = ids.data<std::int64_t>() + static_cast<Index>(r) * count;
      rows_[r].insert(rows_[r].end(), from, from + (counts.empty() ? count : counts[r]));
      longest = std::max(longest, rows_[r].size());
    }
    const auto n = static_cast<Index>(rows_.size());
    const Tensor all = Tensor::zeros({n, static_cast<Index>(longest)}, DType::kInt64);
    const Tensor lengths = Tensor::empty({n}, DType::kInt64);
    for (size_t r = 0; r < rows_.size(); ++r) {
      std::copy(rows_[r].begin(), rows_[r].end(), all.data<std::int64_t>() + r * longest);
      lengths.data<std::int64_t>()[r] = static_cast<std::int64_t>(rows_[r].size());
    }
    const py::gil_scoped_acquire gil;
    const py::object logits =
        ragged_ ? step_(to_numpy(all, true), to_numpy(lengths, true)) : step_(to_numpy(all, true));
    return to_tensor(logits, "generate", "what step returned", Want::kFloat, Memory::kCopy);
  }

  void reorder(const std::vector<Index>& rows) override {
    std::vector<Ids> next;
    for (const Index r : rows) next.push_back(rows_[static_cast<size_t>(r)]);
    rows_ = std::move(next);
  }

  Index vocab_size() const override { return 0; }

 private:
  py::object step_;
  std::vector<Ids> rows_;
  bool ragged_;
};

std::unique_ptr<DecodeState> callable_state(const char* op, Object step, const Prompts& prompts) {
  if (PyCallable_Check(step.ptr()) == 0) {
    type_error(op, ": step is a ", Py_TYPE(step.ptr())->tp_name, " but must be a function of ids");
  }
  return std::make_unique<CallableState>(step, prompts);
}

py::array process_logits(Object logits, Object ids, Object prompt_length, const py::kwargs& given) {
  constexpr const char* kOp = "process_logits";
  const Tensor x = to_tensor(logits, kOp, "logits", Want::kFloat, Memory::kBorrow);
  const Prompts prompts = prompts_arg(kOp, ids, py::none());
  py::dict filled;
  filled["max_new_tokens"] = Index{1} << 40;
  for (const auto& [name, value] : given) filled[name] = value;
  filled["do_sample"] = true;
  const DecodeOptions o = decode_options(kOp, filled, prompts.batch());
  Index vocabulary = 0;
  models::check_options(o, prompts.batch(), vocabulary);
  models::check_logits(o, x, prompts.batch(), vocabulary);
  const Index length = prompts.ids.dim(1);
  const Index given_length = prompt_length.is_none() ? length : index_arg(kOp, "prompt_length", prompt_length);
  if (given_length < 0 || given_length > length) {
    value_error(kOp, ": prompt_length is ", given_length, " but must be 0 to ", length);
  }
  const Tensor out = Tensor::empty({prompts.batch(), vocabulary}, DType::kFloat64);
  for (Index b = 0; b < prompts.batch(); ++b) {
    double* row = out.data<double>() + b * vocabulary;
    models::read_logits(o, x, b, b, row);
    models::process_logits(o, prompts.row(b), given_length, row, vocabulary);
    models::check_possible(o, b, row, vocabulary);
    models::filter_logits(o, row, vocabulary);
  }
  return to_numpy(out, true);
}

}  // namespace

namespace {

py::dict generation_config(py::handle model) {
  const py::object config = py::getattr(model, "generation_config", py::none());
  return py::isinstance<py::dict>(config) ? py::reinterpret_borrow<py::dict>(config) : py::dict();
}

// Those of an id, or of a list of them, that the vocabulary has.
py::list known_ids(py::handle value, Index vocabulary) {
  py::list known;
  auto add = [&](py::handle id) {
    if (!PyLong_Check(id.ptr()) || PyBool_Check(id.ptr())) return;
    const long long number = PyLong_AsLongLong(id.ptr());
    if (PyErr_Occurred() != nullptr) PyErr_Clear();
    if (number >= 0 && number < vocabulary) known.append(id);
  };
  if (!py::isinstance<py::list>(value)) {
    add(value);
  } else {
    for (const py::handle id : value) add(id);
  }
  return known;
}

}  // namespace

py::object padded_lists(const char* op, const char* arg, py::handle ids, Index pad_id) {
  const auto as_it_is = py::reinterpret_borrow<py::object>(ids);
  if (!py::isinstance<py::list>(ids) && !py::isinstance<py::tuple>(ids)) return as_it_is;
  std::set<Py_ssize_t> lengths;
  for (const py::handle row : ids) {
    if (!py::isinstance<py::list>(row) && !py::isinstance<py::tuple>(row)) return as_it_is;
    lengths.insert(PyObject_Length(row.ptr()));
  }
  if (lengths.size() < 2) return as_it_is;
  const std::vector<Ids> rows = sequences_arg(op, arg, ids);
  const auto longest = static_cast<size_t>(*lengths.rbegin());
  const Tensor padded = Tensor::full({static_cast<Index>(rows.size()), static_cast<Index>(longest)}, DType::kInt64,
                                     static_cast<double>(pad_id));
  for (size_t b = 0; b < rows.size(); ++b) {
    std::copy(rows[b].begin(), rows[b].end(), padded.data<std::int64_t>() + b * longest);
  }
  return to_numpy(padded, true);
}

void add_special_ids(py::handle model, const py::dict& given, Index vocabulary) {
  const py::dict config = generation_config(model);
  auto add = [&](const char* theirs, const char* ours, const auto& read) {
    if (given.contains(ours) || !config.contains(theirs)) return;
    const py::object value = read(py::object(config[theirs]));
    if (!value.is_none()) given[ours] = value;
  };
  auto ids = [&](const py::object& value) -> py::object {
    const py::list known = known_ids(value, vocabulary);
    return known.empty() ? py::object(py::none()) : py::object(known);
  };
  auto one = [&](const py::object& value) -> py::object {
    const py::list known = known_ids(value, vocabulary);
    return known.size() == 1 ? py::object(known[0]) : py::object(py::none());
  };
  auto words = [&](const py::object& value) -> py::object {
    py::list known;
    if (py::isinstance<py::list>(value)) {
      for (const py::handle word : value) {
        if (py::isinstance<py::list>(word) && py::len(word) > 0 && known_ids(word, vocabulary).size() == py::len(word))
          known.append(word);
      }
    }
    return known.empty() ? py::object(py::none()) : py::object(known);
  };
  add("eos_token_id", "eos_id", ids);
  add("pad_token_id", "pad_id", one);
  add("forced_bos_token_id", "forced_bos_id", one);
  add("forced_eos_token_id", "forced_eos_id", one);
  add("bad_words_ids", "bad_words", words);
  add("suppress_tokens", "suppress", ids);
}

Index bos_arg(const char* op, py::handle model, py::handle bos_id) {
  if (!bos_id.is_none()) return index_arg(op, "bos_id", bos_id);
  const py::dict config = generation_config(model);
  for (const char* name : {"decoder_start_token_id", "bos_token_id"}) {
    if (config.contains(name) && PyLong_Check(py::object(config[name]).ptr()))
      return index_arg(op, "bos_id", py::object(config[name]));
  }
  type_error(op, ": bos_id is missing: the id before the beginning");
}

DecodeOptions decode_options(const char* op, const py::dict& given, Index batch) {
  DecodeOptions o;
  o.op = op;
  py::object seed = py::none(), generator = py::none();
  const char* sampling = nullptr;
  if (!given.contains("max_new_tokens")) type_error(op, ": max_new_tokens is missing: how many tokens at most");
  for (const auto& [key, value] : given) {
    const auto name = py::cast<std::string>(key);
    const char* n = name.c_str();
    const bool none = value.is_none();
    auto index = [&](Index& to) {
      if (!none) to = index_arg(op, n, value);
    };
    auto maybe_index = [&](std::optional<Index>& to) {
      if (!none) to = index_arg(op, n, value);
    };
    auto number = [&](double& to) {
      if (!none) to = number_arg(op, n, value);
    };
    auto of_sampling = [&] { sampling = none || sampling != nullptr ? sampling : PyUnicode_AsUTF8(key.ptr()); };
    if (name == "max_new_tokens")
      index(o.max_new_tokens);
    else if (name == "min_new_tokens")
      index(o.min_new_tokens);
    else if (name == "eos_id") {
      if (!none) o.eos_ids = has_length(value) ? ids_arg(op, n, value) : Ids{index_arg(op, n, value)};
    } else if (name == "pad_id")
      maybe_index(o.pad_id);
    else if (name == "stop") {
      if (!none) o.stop = sequences_arg(op, n, value);
    } else if (name == "bad_words") {
      if (!none) o.bad_words = sequences_arg(op, n, value);
    } else if (name == "suppress") {
      if (!none) o.suppress = ids_arg(op, n, value);
    } else if (name == "forced_bos_id")
      maybe_index(o.forced_bos_id);
    else if (name == "forced_eos_id")
      maybe_index(o.forced_eos_id);
    else if (name == "repetition_penalty")
      number(o.repetition_penalty);
    else if (name == "no_repeat_ngram_size")
      index(o.no_repeat_ngram_size);
    else if (name == "do_sample") {
      if (!none) o.do_sample = bool_arg(op, n, value);
    } else if (name == "temperature")
      number(o.temperature), of_sampling();
    else if (name == "top_k")
      index(o.top_k), of_sampling();
    else if (name == "top_p")
      number(o.top_p), of_sampling();
    else if (name == "min_p")
      number(o.min_p), of_sampling();
    else if (name == "seed")
      seed = py::reinterpret_borrow<py::object>(value), of_sampling();
    else if (name == "generator")
      generator = py::reinterpret_borrow<py::object>(value), of_sampling();
    else if (name == "num_beams")
      index(o.num_beams);
    else if (name == "num_return_sequences")
      index(o.num_return_sequences);
    else if (name == "length_penalty")
      number(o.length_penalty);
    else if (name == "early_stopping") {
      if (!none) o.early_stopping = early_stopping_arg(op, value);
    } else if (name == "return_scores") {
      if (!none) o.return_scores = bool_arg(op, n, value);
    } else
      type_error(op, ": there is no option '", name, "'");
  }
  if (sampling != nullptr && !o.do_sample) {
    value_error(op, ": ", sampling, " is for sampling: give do_sample=True with it");
  }
  if (o.do_sample) o.seeds = seeds_arg(op, seed, generator, batch);
  return o;
}

Prompts prompts_arg(const char* op, py::handle ids, py::handle lengths) {
  bool ragged = false;
  auto refuse_text = [&](py::handle x) {
    if (py::isinstance<py::str>(x))
      type_error(op, ": ids is text but must be token ids: encode it with model.tokenizer");
  };
  refuse_text(ids);
  if (py::isinstance<py::list>(ids) || py::isinstance<py::tuple>(ids)) {
    std::set<Py_ssize_t> found;
    for (const py::handle row : ids) {
      refuse_text(row);
      found.insert(has_length(row) ? PyObject_Length(row.ptr()) : -1);
    }
    if (found.size() == 1 && *found.begin() == 0) {
      value_error(op, ": row 0 of ids is empty but must have one token or more");
    }
    ragged = found.size() > 1 && *found.begin() >= 0;
  }
  if (!ragged) {
    const Tensor n = lengths.is_none() ? Tensor() : to_tensor(lengths, op, "lengths", Want::kAny, Memory::kCopy);
    return Prompts(op, to_tensor(ids, op, "ids", Want::kAny, Memory::kCopy), n);
  }
  if (!lengths.is_none()) value_error(op, ": ids has rows of unequal lengths, and lengths is given too: leave it out");
  const std::vector<Ids> rows = sequences_arg(op, "ids", ids);
  size_t longest = 0;
  for (const Ids& row : rows) longest = std::max(longest, row.size());
  const auto batch = static_cast<Index>(rows.size());
  const Tensor padded = Tensor::zeros({batch, static_cast<Index>(longest)}, DType::kInt64);
  const Tensor n = Tensor::empty({batch}, DType::kInt64);
  for (size_t b = 0; b < rows.size(); ++b) {
    std::copy(rows[b].begin(), rows[b].end(), padded.data<std::int64_t>() + b * longest);
    n.data<std::int64_t>()[b] = static_cast<std::int64_t>(rows[b].size());
  }
  return Prompts(op, padded, n);
}

TranslationStart translation_start(const char* op, py::handle model, py::handle bos_id, Index max_len,
                                   const py::dict& given, Index batch, Index vocabulary, Index pad_id) {
  const Index bos = bos_arg(op, model, bos_id);
  add_special_ids(model, given, vocabulary);
  if (!given.contains("eos_id")) type_error(op, ": eos_id is missing: the id after the end");
  if (given.contains("max_new_tokens")) type_error(op, ": there is no option 'max_new_tokens': give max_len");
  given["max_new_tokens"] = max_len;
  DecodeOptions o = decode_options(op, given, batch);
  if (!o.pad_id) o.pad_id = pad_id;
  const Tensor prompts = Tensor::full({batch, 1}, DType::kInt64, static_cast<double>(bos));
  return {bos, Prompts(op, prompts, Tensor()), o};
}

models::Decoded without_bos(const models::Decoded& decoded) {
  const Index rows = decoded.ids.dim(0), width = decoded.ids.dim(1);
  return {slice(decoded.ids, {{0, rows, 1, false}, {1, width, 1, false}}), decoded.lengths, decoded.scores};
}

py::object decoded_result(const DecodeOptions& options, const models::Decoded& decoded) {
  const py::array ids = to_numpy(decoded.ids, true);
  if (!options.return_scores) return ids;
  return py::make_tuple(ids, to_numpy(decoded.scores, true));
}

void bind_decoding(py::module_& m) {
  py::classh<TokenStream>(m, "TokenStream", "The tokens of each step, as they come.")
      .def("__iter__", [](py::object self) { return self; })
      .def("__next__",
           [](TokenStream& self) {
             if (self.busy) value_error("stream: another step of it is running");
             if (self.failed || self.generation.done()) throw py::stop_iteration();
             struct Busy {
               bool& flag;
               explicit Busy(bool& f) : flag(f) { flag = true; }
               ~Busy() { flag = false; }
             } busy(self.busy);
             self.failed = true;
             const Tensor tokens = without_gil([&] { return self.generation.next(); });
             self.failed = false;
             return to_numpy(tokens, true);
           })
      .def_property_readonly(
          "sequences",
          [](const TokenStream& self) {
            if (self.busy) value_error("stream: another step of it is running");
            return to_numpy(self.generation.result().ids, true);
          },
          "The prompts and what has come so far, padded, (rows, T).");
  m.def(
      "generate",
      [](Object step, Object ids, Object lengths, const py::kwargs& given) {
        const Prompts prompts = prompts_arg("generate", ids, lengths);
        const DecodeOptions o = decode_options("generate", given, prompts.batch());
        auto state = callable_state("generate", step, prompts);
        return decoded_result(o,
                              without_gil([&] { return models::decode(std::move(state), prompts, o, check_signals); }));
      },
      py::arg("step"), py::arg("ids"), py::arg("lengths"), "Decodes with the logits that step(ids) gives.");
  m.def(
      "stream",
      [](Object step, Object ids, Object lengths, const py::kwargs& given) {
        const Prompts prompts = prompts_arg("stream", ids, lengths);
        const DecodeOptions o = decode_options("stream", given, prompts.batch());
        return std::make_unique<TokenStream>(
            TokenStream{models::Generation(callable_state("stream", step, prompts), prompts, o), py::none()});
      },
      py::arg("step"), py::arg("ids"), py::arg("lengths"), "The same, step by step.");
  m.def("process_logits", &process_logits, py::arg("logits"), py::arg("ids"), py::arg("prompt_length"),
        "What the options make of logits, (rows, V) float64.");
}

}  // namespace attendo::bindings
