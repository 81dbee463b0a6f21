// ATTENDO_SELECT(Table): the Table() compiled for the instruction set in use. Only in the HWY_ONCE part of a kernel file.
//
// Highway's own dispatch tables are templates with weak symbols; this chain of plain calls leaks none.
#pragma once

#include "kernels/isa.h"

#if HWY_TARGETS & HWY_AVX3
#define ATTENDO_SELECT_AVX512(Table) \
  if (isa() == Isa::kAvx512) return N_AVX3::Table()
#else
#define ATTENDO_SELECT_AVX512(Table)
#endif

#if HWY_TARGETS & HWY_AVX2
#define ATTENDO_SELECT_AVX2(Table) \
  if (isa() >= Isa::kAvx2) return N_AVX2::Table()
#else
#define ATTENDO_SELECT_AVX2(Table)
#endif

#define ATTENDO_SELECT(Table)   \
  ATTENDO_SELECT_AVX512(Table); \
  ATTENDO_SELECT_AVX2(Table);   \
  return HWY_STATIC_DISPATCH(Table)()
