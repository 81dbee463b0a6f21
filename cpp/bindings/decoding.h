// Decoding as Python calls it: the options every generating model takes, and what comes back.
#pragma once

#include "bindings/convert.h"
#include "models/decoding.h"

namespace attendo::bindings {

void bind_decoding(py::module_& m);

// The keyword arguments of generate.
models::DecodeOptions decode_options(const char* op, const py::dict& given, Index batch);
// ids: an array (B, S), or a list of lists of unequal lengths.
models::Prompts prompts_arg(const char* op, py::handle ids, py::handle lengths);
// Lists of unequal lengths as an array (B, S), pad_id behind the shorter ones; anything else as it is.
py::object padded_lists(const char* op, const char* arg, py::handle ids, Index pad_id);
// Adds what the checkpoint of a model says (its generation_config) of the special ids that were not given: eos_id, pad_id,
// forced_bos_id, forced_eos_id, bad_words and suppress, as far as they lie in the vocabulary.
void add_special_ids(py::handle model, const py::dict& given, Index vocabulary);
// The id before the beginning: as given, or as the checkpoint says.
Index bos_arg(const char* op, py::handle model, py::handle bos_id);
// How a translation begins, from the keyword arguments of translate: bos alone is the prompt.
struct TranslationStart {
  Index bos_id;
  models::Prompts prompts;
  models::DecodeOptions options;
};
TranslationStart translation_start(const char* op, py::handle model, py::handle bos_id, Index max_len,
                                   const py::dict& given, Index batch, Index vocabulary, Index pad_id);
// The ids, or (ids, scores) where the options ask for scores.
py::object decoded_result(const models::DecodeOptions& options, const models::Decoded& decoded);

// Without the first column of the ids.
models::Decoded without_bos(const models::Decoded& decoded);

// An iterator over the tokens of each step.
struct TokenStream {
  models::Generation generation;
  py::object model;  // kept alive
  bool busy = false;
  bool failed = false;  // a step threw: it is over, as a generator is then
};

template <>
inline constexpr bool kIsBound<TokenStream> = true;

}  // namespace attendo::bindings
