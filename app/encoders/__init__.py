"""CLIP's two towers behind `encode_texts` and `encode_images`; torch is imported here alone."""

import sys

# OpenVINO and NNCF report their use to their makers where this package is importable, and make
# do without it where it is not. Nobody has been asked: so it is not, before either is imported.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None: the import fails
