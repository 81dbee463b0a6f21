"""What :mod:`attendo.text` is made of."""
