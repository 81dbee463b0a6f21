"""The pages of :mod:`attendo.optim`."""
