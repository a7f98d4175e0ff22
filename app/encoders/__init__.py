"""CLIP's two towers behind `encode_texts` and `encode_images`; torch is imported here alone."""
