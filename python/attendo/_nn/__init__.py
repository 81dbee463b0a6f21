"""The layers of :mod:`attendo.nn`: their pages. The code is in cpp/nn."""
