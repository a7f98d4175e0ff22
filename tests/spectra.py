"""Generated vectors, as the benchmark has them."""

from scripts.spectra import clip_like, copy_vectors, insert_images

__all__ = ["clip_like", "copy_vectors", "insert_images"]
