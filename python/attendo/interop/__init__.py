"""Checkpoints of other programs: Hugging Face folders, and PyTorch's state dicts."""
