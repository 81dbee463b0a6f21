#include "models/token_ids.h"

#include <algorithm>

#include "ops/embedding.h"
#include "ops/shape.h"

namespace attendo::models {

void check_token_ids(const char* model, const char* arg, const Tensor& ids, Index vocabulary, Index max_len) {
  check_rank(model, arg, ids, 2, "(batch, length)");
  if (ids.dtype() != DType::kInt64) {
    type_error(model, ": ", arg, " has dtype ", dtype_name(ids.dtype()), " but must be int64 token ids");
  }
  if (max_len > 0 && ids.dim(1) > max_len)
    value_error(model, ": ", arg, " has ", ids.dim(1), " positions but max_len is ", max_len);
  const std::int64_t* id = ids.data<std::int64_t>();
  for (Index i = 0; i < ids.size(); ++i) {
    if (id[i] < 0 || id[i] >= vocabulary) {
      value_error(model, ": ", arg, " holds ", id[i], " but must hold 0 to ", vocabulary - 1);
    }
  }
}

Tokens without_padding(const Tensor& ids, Index pad_id) {
  const Index batch = ids.dim(0), length = ids.dim(1);
  const std::int64_t* id = ids.data<std::int64_t>();
  Tokens t;
  t.length = length;
  t.lengths = Tensor::zeros({batch}, DType::kInt64);
  t.places = Tensor::full({batch * length}, DType::kInt64, -1);
  auto* lengths = t.lengths.data<std::int64_t>();
  for (Index i = 0; i < batch * length; ++i) lengths[i / length] += id[i] != pad_id;
  const Index longest = batch == 0 ? 0 : *std::max_element(lengths, lengths + batch);
  t.ids = Tensor::full({batch, longest}, DType::kInt64, static_cast<double>(pad_id));
  for (Index b = 0; b < batch; ++b) {
    Index next = b * longest;
    for (Index i = b * length; i < (b + 1) * length; ++i) {
      if (id[i] == pad_id) continue;
      t.places.data<std::int64_t>()[i] = next;
      t.ids.data<std::int64_t>()[next++] = id[i];
    }
  }
  return t;
}

Tensor Tokens::put_back(const Tensor& x) const {
  const Index batch = x.dim(0), d = x.dim(2);
  return reshape(gather_rows(reshape(x, {batch * x.dim(1), d}), places), {batch, length, d});
}

}  // namespace attendo::models
