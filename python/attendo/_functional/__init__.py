"""The operations of :mod:`attendo.functional`, one file for each of cpp/ops."""
