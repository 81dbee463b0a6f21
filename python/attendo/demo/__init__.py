"""The main job: a Transformer learns to read dates in many languages. See run.py, or call `attendo demo`."""
