"""Loads a model from the record of an earlier start, without torch, or else through torch."""

from app.encoders import fast_start
from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_request import ModelRequest


def load(request: ModelRequest) -> OpenClipEncoder:
    """The encoder for a request. Raises ModelUnavailable like `openclip.load`."""
    if (found := fast_start.find(request)) is not None:
        return found
    from app.encoders.torch_models import openclip  # takes seconds and hundreds of MB

    return openclip.load(
        request.model, request.pretrained, request.device, request.name, request.options
    )
