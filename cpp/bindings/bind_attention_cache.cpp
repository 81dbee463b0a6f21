#include <mutex>

#include "attention/kv_cache.h"
#include "bindings/convert.h"

namespace attendo::bindings {

// A cache that several Python threads may hold.
struct SharedCache {
  KVCache cache;
  mutable std::recursive_mutex mutex;  // a mask of the caller's is Python: it may come back
  explicit SharedCache(KVCache c) : cache(std::move(c)) {}
};

namespace {

using Object = const py::object&;
using Lock = std::unique_lock<std::recursive_mutex>;

// Nobody waits for the lock while holding the GIL, so who has the lock may wait for the GIL.
Lock locked(const SharedCache& shared) {
  const py::gil_scoped_release release;
  return Lock(shared.mutex);
}

Tensor counts_arg(const char* op, Object lengths) {
  return lengths.is_none() ? Tensor() : to_tensor(lengths, op, "lengths", Want::kAny, Memory::kCopy);
}

std::vector<Index> entries_arg(const char* op, Object entries) {
  const Tensor x = to_tensor(entries, op, "entries", Want::kAny, Memory::kCopy);
  const bool empty = x.rank() == 1 && x.size() == 0;  // an empty list has no dtype of its own
  if (x.dtype() != DType::kInt64 && !empty) {
    type_error(op, ": entries has dtype ", dtype_name(x.dtype()), " but must be integers");
  }
  if (x.rank() != 1) value_error(op, ": entries has shape ", x.shape(), " but must be a list of batch entries");
  std::vector<Index> chosen;
  for (Index i = 0; i < x.size(); ++i) chosen.push_back(x.data<std::int64_t>()[i]);
  return chosen;
}

py::object attend(SharedCache& shared, Object q, Object k, Object v, Object lengths, Object mask, Object bias,
                  Object scale, Object softcap, Object sinks) {
  constexpr const char* kName = "KVCache.attend";
  Call call(kName, {q, k, v, bias, sinks});
  if (k.is_none() != v.is_none()) {
    value_error(kName, ": ", k.is_none() ? "v" : "k", " was given without ", k.is_none() ? "k" : "v");
  }
  if (k.is_none() && !lengths.is_none()) value_error(kName, ": lengths are those of k and v, which were not given");
  const Tensor tq = call.tensor(q, "q"), tk = call.optional_tensor(k, "k"), tv = call.optional_tensor(v, "v");
  const Tensor counts = counts_arg(kName, lengths);
  AttentionOptions options;
  if (!scale.is_none()) options.scale = number_arg(kName, "scale", scale);
  options.bias = call.optional_tensor(bias, "bias");
  modification_arg(options, call, kName, softcap, nullptr, sinks);
  check_min_rank(kName, "q", tq, 2, "(..., heads, length, features)");
  const Lock lock = locked(shared);
  KVCache& cache = shared.cache;
  const KVCache before = cache;  // shares the rows, which append never writes over
  try {
    if (tk) {
      without_gil([&] { renaming_errors("KVCache.append", kName, [&] { cache.append(tk, tv, counts); }); });
      if (tk.dim(-2) != tq.dim(-2)) {
        value_error(kName, ": q has ", tq.dim(-2), " positions but k has ", tk.dim(-2));
      }
    }
    if (!mask.is_none()) {
      const int rank = tq.rank();
      mask_arg(options, kName, mask, py::int_(cache.length() - tq.dim(-2)),
               tq.shape().product(0, std::max(0, rank - 3)), rank >= 3 ? tq.dim(-3) : 1, tq.dim(-2), cache.length());
      options.q_offset = 0;
    }
    return call.result(without_gil([&] { return cache.attend(tq, options, counts); }));
  } catch (...) {
    cache = before;
    throw;
  }
}

}  // namespace

void bind_attention_cache(py::module_& m) {
  const auto none = py::none();
  py::class_<SharedCache, std::shared_ptr<SharedCache>>(m, "KVCache", "Keys and values of the positions so far.")
      .def(py::init([](Object capacity, Object window) {
             const Index room = capacity.is_none() ? 0 : index_arg("KVCache", "capacity", capacity);
             const Index seen = window.is_none() ? 0 : index_arg("KVCache", "window", window);
             if (!window.is_none() && seen < 1) value_error("KVCache: window is ", seen, " but must be 1 or more");
             return std::make_shared<SharedCache>(KVCache(room, seen));
           }),
           py::kw_only(), py::arg("capacity") = none, py::arg("window") = none)
      .def(
          "append",
          [](SharedCache& self, Object k, Object v, Object lengths) {
            constexpr const char* kName = "KVCache.append";
            const Tensor tk = to_tensor(k, kName, "k", Want::kFloat, Memory::kBorrow),
                         tv = to_tensor(v, kName, "v", Want::kFloat, Memory::kBorrow);
            const Tensor counts = counts_arg(kName, lengths);
            const Lock lock = locked(self);
            without_gil([&] { self.cache.append(tk, tv, counts); });
          },
          py::arg("k"), py::arg("v"), py::kw_only(), py::arg("lengths") = none)
      .def("attend", &attend, py::arg("q"), py::arg("k") = none, py::arg("v") = none, py::kw_only(),
           py::arg("lengths") = none, py::arg("mask") = none, py::arg("bias") = none, py::arg("scale") = none,
           py::arg("softcap") = none, py::arg("sinks") = none)
      .def(
          "fork",
          [](const SharedCache& self, Object entries) {
            const std::vector<Index> chosen =
                entries.is_none() ? std::vector<Index>() : entries_arg("KVCache.fork", entries);
            const Lock lock = locked(self);
            return without_gil([&] {
              return std::make_shared<SharedCache>(entries.is_none() ? self.cache.fork() : self.cache.fork(chosen));
            });
          },
          py::arg("entries") = none)
      .def(
          "reorder",
          [](SharedCache& self, Object entries) {
            const std::vector<Index> chosen = entries_arg("KVCache.reorder", entries);
            const Lock lock = locked(self);
            without_gil([&] { self.cache.reorder(chosen); });
          },
          py::arg("entries"))
      .def(
          "truncate",
          [](SharedCache& self, Object length) {
            const Index n = index_arg("KVCache.truncate", "length", length);
            const Lock lock = locked(self);
            self.cache.truncate(n);
          },
          py::arg("length"))
      .def("reset",
           [](SharedCache& self) {
             const Lock lock = locked(self);
             self.cache.reset();
           })
      .def_property_readonly("length",
                             [](const SharedCache& self) {
                               const Lock lock = locked(self);
                               return self.cache.length();
                             })
      .def_property_readonly("lengths",
                             [](const SharedCache& self) {
                               const Lock lock = locked(self);
                               const std::vector<Index>& n = self.cache.lengths();
                               const Tensor out = Tensor::empty({static_cast<Index>(n.size())}, DType::kInt64);
                               std::copy(n.begin(), n.end(), out.data<std::int64_t>());
                               return to_numpy(out, true);
                             })
      .def_property_readonly("first",
                             [](const SharedCache& self) {
                               const Lock lock = locked(self);
                               return self.cache.first();
                             })
      .def_property_readonly("capacity",
                             [](const SharedCache& self) {
                               const Lock lock = locked(self);
                               return self.cache.capacity();
                             })
      .def_property_readonly("window",
                             [](const SharedCache& self) -> std::optional<Index> {
                               const Index n = self.cache.window();
                               return n > 0 ? std::optional(n) : std::nullopt;
                             })
      .def_property_readonly("keys",
                             [](const SharedCache& self) -> py::object {
                               const Lock lock = locked(self);
                               const Tensor x = self.cache.keys();
                               return x ? py::object(to_numpy(x, true)) : py::none();
                             })
      .def_property_readonly("values",
                             [](const SharedCache& self) -> py::object {
                               const Lock lock = locked(self);
                               const Tensor x = self.cache.values();
                               return x ? py::object(to_numpy(x, true)) : py::none();
                             })
      .def("__repr__", [](const SharedCache& self) {
        const Lock lock = locked(self);
        return self.cache.str();
      });
}

}  // namespace attendo::bindings
