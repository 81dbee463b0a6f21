"""One file a family of checkpoints; :mod:`attendo.interop.family` says what a family is."""
