#pragma once

#include "models/decoding.h"

namespace attendo::models {

// The likeliest sequences, looked for num_beams at a time.
class BeamSearch {
 public:
  BeamSearch(std::unique_ptr<DecodeState> state, const Prompts& prompts, const DecodeOptions& options);
  bool done() const { return beams_.empty(); }
  void next();
  Decoded result() const;

 private:
  struct Beam {
    Index entry;  // of the batch
    double score;
    Ids ids;
  };
  struct Candidate {
    double score;
    Index beam, token;  // beam: its row of the state
    // The better one first; of equal ones the first beam's, then the lower token.
    bool operator<(const Candidate& other) const {
      return score != other.score ? score > other.score : std::pair(beam, token) < std::pair(other.beam, other.token);
    }
  };
  struct Hypothesis {
    double score;
    Ids ids;
  };

  std::vector<Candidate> candidates(const Tensor& logits, Index beam) const;
  void search(Index entry, const std::vector<Candidate>& best, std::vector<Beam>& next, std::vector<Index>& parents);
  Index prompt_length(Index entry) const { return prompts_.lengths[static_cast<size_t>(entry)]; }

  std::unique_ptr<DecodeState> state_;
  DecodeOptions options_;
  Prompts prompts_;
  Index width_;                                    // candidates of one entry
  std::vector<Beam> beams_;                        // of all entries that are open, entry by entry: the state's rows
  std::vector<std::vector<Hypothesis>> finished_;  // of each entry, the best first, num_beams at most
  Index vocabulary_;
  Index steps_ = 0;
};

}  // namespace attendo::models
