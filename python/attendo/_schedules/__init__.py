"""The functions of :mod:`attendo.schedules`."""
