#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "core/random.h"
#include "core/tensor.h"

namespace attendo::models {

using Ids = std::vector<std::int64_t>;

enum class EarlyStopping { kNo, kYes, kNever };

struct DecodeOptions {
  const char* op = "generate";  // who is named in errors
  Index max_new_tokens = 0, min_new_tokens = 0;
  Ids eos_ids;
  std::optional<Index> pad_id;                        // else the first of eos_ids, else 0
  std::vector<Ids> stop;                              // a row ends with any of these, as with eos
  std::vector<Ids> bad_words;                         // never completed
  Ids suppress;                                       // never chosen
  std::optional<Index> forced_bos_id, forced_eos_id;  // the first new token; the last of max_new_tokens
  double repetition_penalty = 1;
  Index no_repeat_ngram_size = 0;
  bool do_sample = false;
  double temperature = 1;
  Index top_k = 0;  // 0: all
  double top_p = 1, min_p = 0;
  std::vector<std::uint64_t> seeds;  // one for each batch entry, where do_sample
  Index num_beams = 1, num_return_sequences = 1;
  double length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::kNo;
  bool return_scores = false;

  std::int64_t padding() const { return pad_id ? *pad_id : eos_ids.empty() ? 0 : eos_ids.front(); }
};

// A model in the middle of sequences: what it keeps of their tokens so far. Rows are sequences that go on.
class DecodeState {
 public:
  virtual ~DecodeState() = default;
  // ids (rows, T): the next tokens of each row; counts: how many of the T are real, empty: all.
  // -> logits (rows, V) of the token after the last real one, float32 or float64
  virtual Tensor step(const Tensor& ids, const std::vector<Index>& counts) = 0;
  // Row i goes on from what was row rows[i]: rows may come more than once, or not at all.
  virtual void reorder(const std::vector<Index>& rows) = 0;
  // Ids are below this; 0: not known before the first step.
  virtual Index vocab_size() const = 0;
};

// What sequences begin with: ids (B, S), of which each row has lengths[b].
struct Prompts {
  Tensor ids;
  std::vector<Index> lengths;

  Prompts(const char* op, const Tensor& ids, const Tensor& lengths);  // lengths: (B,) int64, undefined: all S
  Index batch() const { return static_cast<Index>(lengths.size()); }
  Ids row(Index b) const;
  std::vector<Index> counts() const;  // for DecodeState::step
};

struct Decoded {
  Tensor ids;      // (B num_return_sequences, T): the prompt, the new tokens, padding
  Tensor lengths;  // (rows,): of both together
  Tensor scores;   // (rows,) float64: the log-probability of the new tokens, with beams over length^length_penalty
};

// Greedy decoding and sampling, a step at a time.
class Generation {
 public:
  Generation(std::unique_ptr<DecodeState> state, const Prompts& prompts, const DecodeOptions& options);
  Index rows() const { return static_cast<Index>(ids_.size()); }
  bool done() const { return active_.empty() || steps_ == options_.max_new_tokens; }
  Tensor next();  // (rows,): the next token of each; padding where a row has ended
  Decoded result() const;

 private:
  std::int64_t choose(Index row, const double* scores, Index vocabulary) const;
  void keep_active(bool first);

  std::unique_ptr<DecodeState> state_;
  DecodeOptions options_;
  Prompts prompts_;
  std::vector<Ids> ids_;        // of all rows, the prompts first
  std::vector<double> scores_;  // of all rows
  std::vector<Index> active_;   // the rows that the state still holds, open or not
  std::vector<char> ended_;     // of all rows
  Index vocabulary_;
  Index steps_ = 0;
};

// Until every row has ended: by beams when there are several, otherwise as Generation. `interrupted` is asked between steps.
Decoded decode(std::unique_ptr<DecodeState> state, const Prompts& prompts, const DecodeOptions& options,
               const std::function<void()>& interrupted);

// Throws where options are out of range, or do not go together; ids are compared with a vocabulary that is not 0.
void check_options(const DecodeOptions& options, Index batch, Index vocabulary);
// vocabulary: as it was before; 0, which becomes that of the logits, before the first step.
void check_logits(const DecodeOptions& options, const Tensor& logits, Index rows, Index& vocabulary);
// body(i) for every row, in parallel; where several throw it is always the first row's error that comes.
void for_rows(Index count, const std::function<void(Index)>& body);
bool ends(const DecodeOptions& options, const Ids& ids, Index prompt_length);
Tensor id_column(const std::vector<std::int64_t>& tokens);  // (rows, 1)
// For states: counts as an int64 tensor (rows,), undefined where there are none;
Tensor count_tensor(const std::vector<Index>& counts);
// x (rows, T, d) -> (rows, d), the last real position of each row;
Tensor last_rows(const Tensor& x, const std::vector<Index>& counts);
// and rows of anything in another order.
Tensor taken(const Tensor& x, const std::vector<Index>& rows);
inline std::vector<Index> taken(const std::vector<Index>& x, const std::vector<Index>& rows) {
  std::vector<Index> out;
  for (const Index r : rows) out.push_back(x[static_cast<size_t>(r)]);
  return out;
}
Decoded decoded(const DecodeOptions& options, const Prompts& prompts, const std::vector<Ids>& rows,
                const std::vector<double>& scores);

}  // namespace attendo::models
