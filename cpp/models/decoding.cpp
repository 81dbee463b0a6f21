// Decoding: tokens made one after the other from a model's logits
//
//   greedy   y_t = argmax_j s_j        sample   y_t ~ softmax(s)        beams   beam_search.cpp
//
// s (V,): the logits at the last position, after what logits_processors.cpp does to them. A row ends with one of eos_ids
// or of the stop sequences; it is then left out of the model's next steps.
//
// Token t of sample n of a row is drawn with philox(mix(seed of the row, n), t): the same in any batch, on any number of
// threads.                                  Radford et al. 2019, §3; Fan et al. 2018; Holtzman et al. 2020.
#include "models/decoding.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <cstring>

#include "core/parallel.h"
#include "models/beam_search.h"
#include "models/logits_processors.h"

namespace attendo::models {
namespace {

constexpr Index kMostTokens = Index{1} << 40, kMostRows = Index{1} << 20, kMostBeams = 1024;

void check_vocabulary(const DecodeOptions& o, Index vocabulary) {
  auto check = [&](const char* name, std::int64_t id, bool single = false) {
    const char *is = single ? " is " : " holds ", *be = single ? " but must be " : " but must hold ";
    if (id < 0) value_error(o.op, ": ", name, is, id, be, "0 or more");
    if (vocabulary > 0 && id >= vocabulary) value_error(o.op, ": ", name, is, id, be, "0 to ", vocabulary - 1);
  };
  auto check_all = [&](const char* name, const std::vector<Ids>& sequences) {
    for (const Ids& sequence : sequences) {
      if (sequence.empty()) value_error(o.op, ": ", name, " holds a sequence without tokens");
      for (const std::int64_t id : sequence) check(name, id);
    }
  };
  for (const std::int64_t id : o.eos_ids) check("eos_id", id, o.eos_ids.size() == 1);
  for (const std::int64_t id : o.suppress) check("suppress", id);
  check_all("stop", o.stop);
  check_all("bad_words", o.bad_words);
  // pad_id goes into rows that have ended, and to no model: it may lie outside the vocabulary.
  for (const auto& [name, id] :
       {std::pair{"forced_bos_id", o.forced_bos_id}, std::pair{"forced_eos_id", o.forced_eos_id}}) {
    if (id) check(name, *id, true);
  }
}

}  // namespace

void check_options(const DecodeOptions& o, Index batch, Index vocabulary) {
  auto at_least = [&](const char* name, Index value, Index least, Index most) {
    if (value >= least && value <= most) return;
    if (value < least) value_error(o.op, ": ", name, " is ", value, " but must be ", least, " or more");
    value_error(o.op, ": ", name, " is ", value, " but must be ", most, " or less");
  };
  at_least("max_new_tokens", o.max_new_tokens, 0, kMostTokens);
  at_least("min_new_tokens", o.min_new_tokens, 0, kMostTokens);
  if (o.min_new_tokens > o.max_new_tokens) {
    value_error(o.op, ": min_new_tokens is ", o.min_new_tokens, " but must be max_new_tokens, ", o.max_new_tokens,
                ", or less");
  }
  at_least("no_repeat_ngram_size", o.no_repeat_ngram_size, 0, kMostTokens);
  at_least("top_k", o.top_k, 0, kMostTokens);
  at_least("num_beams", o.num_beams, 1, kMostBeams);
  at_least("num_return_sequences", o.num_return_sequences, 1, kMostRows);
  if (!(o.temperature > 0) || !std::isfinite(o.temperature)) {
    value_error(o.op, ": temperature is ", o.temperature,
                " but must be a finite number above 0; do_sample=False takes the likeliest token");
  }
  for (const auto& [name, p] : {std::pair{"top_p", o.top_p}, std::pair{"min_p", o.min_p}}) {
    if (!(p >= 0 && p <= 1)) value_error(o.op, ": ", name, " is ", p, " but must be 0 to 1");
  }
  if (!(o.repetition_penalty > 0) || !std::isfinite(o.repetition_penalty)) {
    value_error(o.op, ": repetition_penalty is ", o.repetition_penalty, " but must be a finite number above 0");
  }
  if (!std::isfinite(o.length_penalty)) {
    value_error(o.op, ": length_penalty is ", o.length_penalty, " but must be a finite number");
  }
  if (o.num_beams > 1 && o.do_sample) {
    value_error(o.op, ": num_beams is ", o.num_beams,
                " and do_sample is True, but beams are searched, not sampled: ", "leave one of them out");
  }
  if (o.num_beams > 1 && o.num_return_sequences > o.num_beams) {
    value_error(o.op, ": num_return_sequences is ", o.num_return_sequences, " but must be num_beams, ", o.num_beams,
                ", or less");
  }
  if (o.num_beams == 1 && o.num_return_sequences > 1 && !o.do_sample) {
    value_error(o.op, ": num_return_sequences is ", o.num_return_sequences,
                " but greedy decoding gives one sequence: set num_beams or do_sample");
  }
  if (batch * std::max(o.num_beams, o.num_return_sequences) > kMostRows) {
    value_error(o.op, ": ", batch, " rows times ", std::max(o.num_beams, o.num_return_sequences),
                " sequences are more than ", kMostRows);
  }
  if (o.do_sample && static_cast<Index>(o.seeds.size()) != batch) {
    value_error(o.op, ": seed has ", o.seeds.size(), " numbers but must have one, or one for each of ", batch, " rows");
  }
  check_vocabulary(o, vocabulary);
}

void check_logits(const DecodeOptions& o, const Tensor& logits, Index rows, Index& vocabulary) {
  check_defined(o.op, "logits", logits);
  if (!is_float(logits.dtype())) {
    type_error(o.op, ": the logits have dtype ", dtype_name(logits.dtype()), " but must be float32 or float64");
  }
  if (logits.rank() != 2 || logits.dim(0) != rows || logits.dim(1) < 1) {
    value_error(o.op, ": the logits have shape ", logits.shape(), " but must be (", rows, ", vocabulary)");
  }
  if (vocabulary > 0 && logits.dim(1) != vocabulary) {
    value_error(o.op, ": the logits have shape ", logits.shape(), " but had ", vocabulary, " columns before");
  }
  if (vocabulary == 0) check_vocabulary(o, logits.dim(1));
  vocabulary = logits.dim(1);
}

bool ends(const DecodeOptions& o, const Ids& ids, Index prompt_length) {
  if (std::find(o.eos_ids.begin(), o.eos_ids.end(), ids.back()) != o.eos_ids.end()) return true;
  return std::any_of(o.stop.begin(), o.stop.end(), [&](const Ids& stop) {
    const auto length = static_cast<Index>(stop.size());
    return static_cast<Index>(ids.size()) - prompt_length >= length &&
           std::equal(stop.begin(), stop.end(), ids.end() - length);
  });
}

void for_rows(Index count, const std::function<void(Index)>& body) {
  std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
  parallel_for(count, [&](Index i) {
    try {
      body(i);
    } catch (...) {
      errors[static_cast<size_t>(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

Tensor id_column(const Ids& tokens) {
  const Tensor out = Tensor::empty({static_cast<Index>(tokens.size()), 1}, DType::kInt64);
  std::copy(tokens.begin(), tokens.end(), out.data<std::int64_t>());
  return out;
}

Tensor count_tensor(const std::vector<Index>& counts) {
  if (counts.empty()) return {};
  const Tensor out = Tensor::empty({static_cast<Index>(counts.size())}, DType::kInt64);
  std::copy(counts.begin(), counts.end(), out.data<std::int64_t>());
  return out;
}

Tensor taken(const Tensor& x, const std::vector<Index>& rows) {
  Shape shape = x.shape();
  shape[0] = static_cast<Index>(rows.size());
  const Tensor out = Tensor::empty(shape, x.dtype());
  const size_t row = x.dim(0) == 0 ? 0 : x.bytes() / static_cast<size_t>(x.dim(0));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(out.raw() + i * row, x.raw() + static_cast<size_t>(rows[i]) * row, row);
  }
  return out;
}

Tensor last_rows(const Tensor& x, const std::vector<Index>& counts) {
  const Index rows = x.dim(0), length = x.dim(1);
  const Tensor flat = x.view({rows * length, x.dim(2)});
  if (length == 1) return flat;
  std::vector<Index> last;
  for (Index r = 0; r < rows; ++r) {
    last.push_back(r * length + (counts.empty() ? length : counts[static_cast<size_t>(r)]) - 1);
  }
  return taken(flat, last);
}

Decoded decoded(const DecodeOptions& o, const Prompts& prompts, const std::vector<Ids>& rows,
                const std::vector<double>& scores) {
  const auto n = static_cast<Index>(rows.size());
  Index width = rows.empty() ? prompts.ids.dim(1) + o.max_new_tokens : 0;
  for (const Ids& row : rows) width = std::max(width, static_cast<Index>(row.size()));
  const Decoded out{Tensor::empty({n, width}, DType::kInt64), Tensor::empty({n}, DType::kInt64),
                    Tensor::empty({n}, DType::kFloat64)};
  std::int64_t* to = out.ids.data<std::int64_t>();
  for (Index r = 0; r < n; ++r) {
    const Ids& row = rows[static_cast<size_t>(r)];
    std::fill(std::copy(row.begin(), row.end(), to), to + width, o.padding());
    to += width;
    out.lengths.data<std::int64_t>()[r] = static_cast<std::int64_t>(row.size());
    out.scores.data<double>()[r] = scores[static_cast<size_t>(r)];
  }
  return out;
}

Prompts::Prompts(const char* op, const Tensor& given, const Tensor& given_lengths) {
  check_rank(op, "ids", given, 2, "(batch, length)");
  if (given.dtype() != DType::kInt64) {
    type_error(op, ": ids has dtype ", dtype_name(given.dtype()), " but must be int64 token ids");
  }
  const Index batch = given.dim(0), longest = given.dim(1);
  if (longest < 1) value_error(op, ": ids has no positions but must have 1 or more");
  ids = given;
  lengths.assign(static_cast<size_t>(batch), longest);
  if (!given_lengths) return;
  if (given_lengths.dtype() != DType::kInt64) {
    type_error(op, ": lengths has dtype ", dtype_name(given_lengths.dtype()), " but must be integers");
  }
  if (!(given_lengths.shape() == Shape{batch})) {
    value_error(op, ": lengths has shape ", given_lengths.shape(), " but must be (", batch, ",), one for each row");
  }
  ids = given.clone();
  for (Index b = 0; b < batch; ++b) {
    const Index n = given_lengths.data<std::int64_t>()[b];
    if (n < 1 || n > longest) value_error(op, ": lengths holds ", n, " but must hold 1 to ", longest);
    lengths[static_cast<size_t>(b)] = n;
    std::int64_t* row = ids.data<std::int64_t>() + b * longest;
    std::fill(row + n, row + longest, 0);  // padding may be anything, a model takes ids only
  }
}

Ids Prompts::row(Index b) const {
  const std::int64_t* from = ids.data<std::int64_t>() + b * ids.dim(1);
  return {from, from + lengths[static_cast<size_t>(b)]};
}

std::vector<Index> Prompts::counts() const {
  const bool even = std::all_of(lengths.begin(), lengths.end(), [&](Index n) { return n == ids.dim(1); });
  return even ? std::vector<Index>() : lengths;
}

Generation::Generation(std::unique_ptr<DecodeState> state, const Prompts& prompts, const DecodeOptions& options)
    : state_(std::move(state)), options_(options), prompts_(prompts), vocabulary_(state_->vocab_size()) {
  check_options(options, prompts.batch(), vocabulary_);
  if (options.num_beams > 1) {
    value_error(options.op, ": num_beams is ", options.num_beams,
                " but must be 1: which beam wins is not known before the end");
  }
  for (Index b = 0; b < prompts.batch(); ++b) {
    for (Index n = 0; n < options.num_return_sequences; ++n) ids_.push_back(prompts.row(b));
  }
  scores_.assign(ids_.size(), 0);
  ended_.assign(ids_.size(), 0);
  for (Index r = 0; r < rows(); ++r) active_.push_back(r);
}

std::int64_t Generation::choose(Index row, const double* scores, Index vocabulary) const {
  if (!options_.do_sample) return std::max_element(scores, scores + vocabulary) - scores;
  const Index copies = options_.num_return_sequences;
  const std::uint64_t seed = options_.seeds[static_cast<size_t>(row / copies)];
  return draw(scores, vocabulary, uniform(seed, row % copies, steps_));
}

Tensor Generation::next() {
  const bool first = steps_ == 0;
  const Index copies = options_.num_return_sequences;
  Tensor logits;
  if (first) {
    logits = state_->step(prompts_.ids, prompts_.counts());
    check_logits(options_, logits, prompts_.batch(), vocabulary_);
  } else {
    Ids last;
    for (const Index r : active_) last.push_back(ids_[static_cast<size_t>(r)].back());
    logits = state_->step(id_column(last), {});
    check_logits(options_, logits, static_cast<Index>(active_.size()), vocabulary_);
  }
  const Index vocabulary = vocabulary_;
  for_rows(static_cast<Index>(active_.size()), [&](Index i) {
    const Index row = active_[static_cast<size_t>(i)], b = row / copies;
    Ids& ids = ids_[static_cast<size_t>(row)];
    if (ended_[static_cast<size_t>(row)]) return;
    std::vector<double> scores(static_cast<size_t>(vocabulary));
    read_logits(options_, logits, first ? b : i, row, scores.data());
    process_logits(options_, ids, prompts_.lengths[static_cast<size_t>(b)], scores.data(), vocabulary);
    check_possible(options_, row, scores.data(), vocabulary);
    if (options_.do_sample) filter_logits(options_, scores.data(), vocabulary);
    const std::int64_t token = choose(row, scores.data(), vocabulary);
    if (options_.return_scores) {
      log_softmax_row(scores.data(), vocabulary);
      scores_[static_cast<size_t>(row)] += scores[static_cast<size_t>(token)];
    }
    ids.push_back(token);
  });
  ++steps_;
  const Tensor out = Tensor::empty({rows()}, DType::kInt64);
  std::fill_n(out.data<std::int64_t>(), rows(), options_.padding());
  for (const Index r : active_) {
    const auto i = static_cast<size_t>(r);
    if (ended_[i]) continue;
    out.data<std::int64_t>()[r] = ids_[i].back();
    ended_[i] = ends(options_, ids_[i], prompts_.lengths[static_cast<size_t>(r / copies)]);
  }
  if (!done()) keep_active(first);
  return out;
}

// The state goes on without the rows that have ended, once they are half of it: leaving some out copies the others.
void Generation::keep_active(bool first) {
  std::vector<Index> held, kept;
  for (size_t i = 0; i < active_.size(); ++i) {
    const Index row = active_[i];
    if (ended_[static_cast<size_t>(row)]) continue;
    held.push_back(first ? row / options_.num_return_sequences : static_cast<Index>(i));
    kept.push_back(row);
  }
  const bool copies = first && options_.num_return_sequences > 1;
  if (!copies && 2 * kept.size() > active_.size()) return;
  active_ = std::move(kept);
  if (!active_.empty()) state_->reorder(held);
}

Decoded Generation::result() const { return decoded(options_, prompts_, ids_, scores_); }

Decoded decode(std::unique_ptr<DecodeState> state, const Prompts& prompts, const DecodeOptions& options,
               const std::function<void()>& interrupted) {
  auto run = [&](auto search) {
    while (!search.done()) {
      interrupted();
      search.next();
    }
    return search.result();
  };
  if (options.num_beams > 1) return run(BeamSearch(std::move(state), prompts, options));
  return run(Generation(std::move(state), prompts, options));
}

}  // namespace attendo::models
