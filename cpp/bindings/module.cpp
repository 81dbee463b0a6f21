#include "bindings/convert.h"
#include "bindings/decoding.h"
#include "bindings/schedules.h"

namespace attendo::bindings {
void bind_cost(py::module_& m);
void bind_distributed(py::module_& m);
void bind_losses(py::module_& m);
void bind_sequence_models(py::module_& m);
void bind_trainer(py::module_& m);
}  // namespace attendo::bindings

PYBIND11_MODULE(_core, m) {
  using namespace attendo::bindings;
  m.doc() = "The C++ core of attendo; use it through the attendo package.";
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const attendo::ValueError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const attendo::TypeError& error) {
      PyErr_SetString(PyExc_TypeError, error.what());
    }
  });
  bind_core(m);
  bind_ops(m);
  bind_int8(m);
  bind_attention(m);
  bind_module(m);
  bind_layers(m);
  bind_transformer_layers(m);
  bind_attention_score(m);
  bind_attention_linear(m);
  bind_attention_matrix(m);
  bind_attention_masks(m);
  bind_attention_cache(m);
  bind_attention_packed(m);
  bind_attention_stats(m);
  bind_attention_positions(m);
  bind_attention_scores(m);
  bind_attention_layers(m);
  bind_convolution(m);
  bind_cost(m);
  bind_norms(m);
  bind_recurrent(m);
  bind_decoding(m);
  bind_models(m);
  bind_quantize(m);
  bind_decoder_lm(m);
  bind_text_encoder(m);
  bind_vision_transformer(m);
  bind_transformer_xl(m);
  bind_cross_modal_classifier(m);
  bind_sequence_models(m);
  bind_transformer(m);
  bind_schedules(m);
  bind_optim(m);
  bind_losses(m);
  bind_trainer(m);
  bind_peft(m);
  bind_distributed(m);
}
