#include "train/reducer.h"
#include "bindings/convert.h"

namespace attendo::bindings {

template <>
inline constexpr bool kIsBound<train::Reducer> = true;

namespace {

using Object = const py::object&;
using namespace train;

// Messages by an object of Python's, attendo.train.distributed's: mpi4py's calls on NumPy views of the tensors.
class PyTransport : public Transport {
 public:
  explicit PyTransport(py::object object)
      : object_(std::move(object)),
        rank_(index_arg("Distributed", "rank", object_.attr("rank"))),
        size_(index_arg("Distributed", "size", object_.attr("size"))) {
    if (size_ < 1 || rank_ < 0 || rank_ >= size_) {
      value_error("Distributed: rank is ", rank_, " of size ", size_, " but must be 0 or more and below size");
    }
  }
  ~PyTransport() override {
    const py::gil_scoped_acquire gil;
    object_ = py::object();
  }
  PyTransport(const PyTransport&) = delete;
  PyTransport& operator=(const PyTransport&) = delete;

  Index rank() const override { return rank_; }
  Index size() const override { return size_; }
  void start_sum(const Tensor& part) override {
    const py::gil_scoped_acquire gil;
    object_.attr("start_sum")(to_numpy(part, true));
  }
  void progress() override {
    const py::gil_scoped_acquire gil;
    object_.attr("progress")();
  }
  void wait() override {
    const py::gil_scoped_acquire gil;
    object_.attr("wait")();
  }
  Tensors gather(const Tensor& x) override {
    const py::gil_scoped_acquire gil;
    Tensors all;
    for (const py::handle part : object_.attr("gather")(to_numpy(x, false))) {
      all.push_back(to_tensor(part, "Distributed", "gather", Want::kAny, Memory::kCopy));
    }
    if (static_cast<Index>(all.size()) != size_) {
      value_error("Distributed: gather gave ", all.size(), " arrays but must give one for each of ", size_,
                  " processes");
    }
    return all;
  }
  void broadcast(const Tensor& x) override {
    const py::gil_scoped_acquire gil;
    object_.attr("broadcast")(to_numpy(x, true));
  }

 private:
  py::object object_;
  Index rank_, size_;
};

std::vector<Tensor> tensors_arg(const char* op, const char* arg, Object list) {
  if (!py::isinstance<py::iterable>(list)) type_error(op, ": ", arg, " must be a list of Tensors");
  std::vector<Tensor> out;
  for (const py::handle x : list) {
    if (!is_tensor(x)) type_error(op, ": ", arg, " must hold Tensors");
    out.push_back(py::cast<Tensor>(x));
  }
  return out;
}

}  // namespace

void bind_distributed(py::module_& m) {
  py::classh<Reducer>(m, "Reducer", "Sums of gradients over processes, while backward runs.")
      .def(py::init([](Object transport, Object bucket_bytes) {
             return std::make_shared<Reducer>(std::make_shared<PyTransport>(transport),
                                              index_arg("Distributed", "bucket_bytes", bucket_bytes));
           }),
           py::arg("transport"), py::arg("bucket_bytes"))
      .def(
          "attach",
          [](Reducer& self, const std::shared_ptr<Optimizer>& optimizer, Object parameters) {
            self.attach(optimizer, tensors_arg("Distributed", "parameters", parameters));
          },
          py::arg("optimizer").none(false), py::arg("parameters"), "Cut the buckets.")
      .def(
          "backward",
          [](Reducer& self, const Tensor& loss) {
            without_gil([&] {
              const Reducer::Last last(&self);
              backward(loss, Tensor());
              return 0;
            });
          },
          py::arg("loss"), "The step's last backward.")
      .def(
          "finish",
          [](Reducer& self) {
            without_gil([&] {
              self.finish();
              return 0;
            });
          },
          "Wait until all gradients are sums.")
      .def("share", &Reducer::share, py::arg("begin"), py::arg("end"), "This process' part of a range.")
      .def("own_seed", &Reducer::own_seed, py::arg("seed"), "A seed of this process' own.")
      .def(
          "sum",
          [](const Reducer& self, const std::vector<double>& values) {
            return without_gil([&] { return self.sum(values); });
          },
          py::arg("values"), "Sums over the processes.")
      .def(
          "broadcast",
          [](const Reducer& self, Object tensors) {
            const std::vector<Tensor> all = tensors_arg("Distributed", "tensors", tensors);
            without_gil([&] {
              self.broadcast(all);
              return 0;
            });
          },
          py::arg("tensors"), "Give all processes what rank 0 has.")
      .def_property_readonly("rank", &Reducer::rank)
      .def_property_readonly("size", &Reducer::size)
      .def_property_readonly("buckets", &Reducer::buckets, "How many messages a step sends.")
      .def_property_readonly("sent_early", &Reducer::sent_early, "How many of the last step's before its end.")
      .def_property_readonly("seconds_waited", &Reducer::seconds_waited, "In finish, all steps together.");
}

}  // namespace attendo::bindings
