"""attendo and PyTorch side by side: `make bench`. README.md in this folder says how it measures."""
