"""CLIP's two towers behind `encode_texts` and `encode_images`; only this package imports torch."""

import sys

# OpenVINO and NNCF send usage data to their makers if this package can be imported, and work
# without it if not. Our users have not consented, so block the import before either is loaded.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # None: the import fails
