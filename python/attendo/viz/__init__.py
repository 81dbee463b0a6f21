"""Pictures of attention and training: self-contained SVG, no JavaScript, nothing fetched.

Pure Python and NumPy. Every text that comes from outside is
escaped.
"""

from .curve import curve
from .heatmap import alignment, heatmap
from .mask import mask
from .picture import Picture
from .png import png
from .training_curves import training_curves

__all__ = ["Picture", "alignment", "curve", "heatmap", "mask", "png", "training_curves"]
