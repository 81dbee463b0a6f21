// Beam search: the n likeliest beginnings go on, those that end are kept
//
//   S(y_1 … y_t) = Σ_i log p(y_i | y_1 … y_{i-1})        score of a sequence that ended at t = S / t^α,  α = length_penalty
//
// A step looks at the (1 + number of ends) n best continuations of the n beams: those among the first n that end become
// hypotheses, of which the best n are kept; the best n of those that do not end are the next beams. t counts the new
// tokens, the end included; log p is what logits_processors.cpp makes of log softmax(logits).
//
// An entry is done when it has n hypotheses and, early_stopping being
//   kYes     nothing more;
//   kNo      the best beam, S / t^α, is not better than the worst of them;
//   kNever   likewise, with S / max_new_tokens^α where α > 0: the best it could come to;
// or no beam is left. Then its beams leave the batch.   Graves 2012; Sutskever et al. 2014, §3.2; Wu et al. 2016, §7.
#include "models/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "models/logits_processors.h"

namespace attendo::models {
namespace {

double penalized(double score, Index length, double penalty) {
  return score == 0 ? 0 : score / std::pow(static_cast<double>(length), penalty);
}

// Enough for num_beams that do not end: of one beam's continuations so many may.
Index most_candidates(const DecodeOptions& o) {
  std::set<std::int64_t> last(o.eos_ids.begin(), o.eos_ids.end());
  for (const Ids& stop : o.stop) {
    if (!stop.empty()) last.insert(stop.back());
  }
  return std::max<Index>(2, 1 + static_cast<Index>(last.size())) * o.num_beams;
}

}  // namespace

BeamSearch::BeamSearch(std::unique_ptr<DecodeState> state, const Prompts& prompts, const DecodeOptions& options)
    : state_(std::move(state)),
      options_(options),
      prompts_(prompts),
      width_(most_candidates(options)),
      vocabulary_(state_->vocab_size()) {
  check_options(options, prompts.batch(), vocabulary_);
  finished_.resize(static_cast<size_t>(prompts.batch()));
  if (options.max_new_tokens == 0) return;
  for (Index b = 0; b < prompts.batch(); ++b) beams_.push_back({b, 0, prompts.row(b)});
}

// The best continuations of one beam, no more than an entry looks at.
std::vector<BeamSearch::Candidate> BeamSearch::candidates(const Tensor& logits, Index beam) const {
  const Index vocabulary = logits.dim(1);
  const Beam& from = beams_[static_cast<size_t>(beam)];
  std::vector<double> scores(static_cast<size_t>(vocabulary));
  read_logits(options_, logits, beam, from.entry, scores.data());
  check_possible(options_, from.entry, scores.data(), vocabulary);
  log_softmax_row(scores.data(), vocabulary);
  process_logits(options_, from.ids, prompt_length(from.entry), scores.data(), vocabulary);
  std::vector<Candidate> best;  // a heap, the worst in front
  for (Index j = 0; j < vocabulary; ++j) {
    const Candidate one{from.score + scores[static_cast<size_t>(j)], beam, j};
    if (!(one.score > -std::numeric_limits<double>::infinity())) continue;
    if (static_cast<Index>(best.size()) == width_) {
      if (!(one < best.front())) continue;
      std::pop_heap(best.begin(), best.end());
      best.pop_back();
    }
    best.push_back(one);
    std::push_heap(best.begin(), best.end());
  }
  return best;
}

// What comes of the candidates of one entry, best first: hypotheses, and the beams of the next step with those they
// continue, unless the entry is done.
void BeamSearch::search(Index entry, const std::vector<Candidate>& best, std::vector<Beam>& next,
                        std::vector<Index>& parents) {
  std::vector<Hypothesis>& finished = finished_[static_cast<size_t>(entry)];
  const auto n = static_cast<size_t>(options_.num_beams);
  const size_t begin = next.size();
  const Index made = steps_ + 1;
  for (size_t i = 0; i < best.size() && next.size() - begin < n; ++i) {
    Ids ids = beams_[static_cast<size_t>(best[i].beam)].ids;
    ids.push_back(best[i].token);
    if (made < options_.max_new_tokens && !ends(options_, ids, prompt_length(entry))) {
      parents.push_back(best[i].beam);
      next.push_back({entry, best[i].score, std::move(ids)});
    } else if (i < n) {
      const double score = penalized(best[i].score, made, options_.length_penalty);
      const auto place = std::upper_bound(finished.begin(), finished.end(), score,
                                          [](double a, const Hypothesis& b) { return a > b.score; });
      finished.insert(place, {score, std::move(ids)});
      if (finished.size() > n) finished.pop_back();
    }
  }
  if (next.size() == begin || finished.size() < n) return;
  const bool hopeful = options_.early_stopping == EarlyStopping::kNever && options_.length_penalty > 0;
  const double hope = penalized(next[begin].score, hopeful ? options_.max_new_tokens : made, options_.length_penalty);
  if (options_.early_stopping == EarlyStopping::kYes || !(hope > finished.back().score)) {
    next.resize(begin);
    parents.resize(begin);
  }
}

void BeamSearch::next() {
  Ids last;
  for (const Beam& beam : beams_) last.push_back(beam.ids.back());
  const Tensor logits = steps_ == 0 ? state_->step(prompts_.ids, prompts_.counts()) : state_->step(id_column(last), {});
  check_logits(options_, logits, static_cast<Index>(beams_.size()), vocabulary_);

  std::vector<std::vector<Candidate>> of_beam(beams_.size());
  for_rows(static_cast<Index>(beams_.size()),
           [&](Index i) { of_beam[static_cast<size_t>(i)] = candidates(logits, i); });

  std::vector<Beam> next;
  std::vector<Index> parents;
  for (size_t i = 0; i < beams_.size();) {
    const Index entry = beams_[i].entry;
    std::vector<Candidate> best;
    for (; i < beams_.size() && beams_[i].entry == entry; ++i) {
      best.insert(best.end(), of_beam[i].begin(), of_beam[i].end());
    }
    std::sort(best.begin(), best.end());
    if (static_cast<Index>(best.size()) > width_) best.resize(static_cast<size_t>(width_));
    search(entry, best, next, parents);
    if (finished_[static_cast<size_t>(entry)].empty() && (next.empty() || next.back().entry != entry)) {
      value_error(options_.op, ": every continuation of row ", entry,
                  " is forbidden by the options that forbid tokens");
    }
  }
  ++steps_;
  beams_ = std::move(next);
  if (!beams_.empty()) state_->reorder(parents);
}

Decoded BeamSearch::result() const {
  std::vector<Ids> rows;
  std::vector<double> scores;
  for (Index b = 0; b < prompts_.batch(); ++b) {
    const std::vector<Hypothesis>& finished = finished_[static_cast<size_t>(b)];
    for (Index n = 0; n < options_.num_return_sequences; ++n) {
      const bool there = n < static_cast<Index>(finished.size());
      rows.push_back(there ? finished[static_cast<size_t>(n)].ids : prompts_.row(b));
      scores.push_back(there                          ? finished[static_cast<size_t>(n)].score
                       : options_.max_new_tokens == 0 ? 0
                                                      : -std::numeric_limits<double>::infinity());
    }
  }
  return decoded(options_, prompts_, rows, scores);
}

}  // namespace attendo::models
