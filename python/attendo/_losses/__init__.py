"""The losses of :mod:`attendo.losses`: their pages. The code is in cpp/train."""
