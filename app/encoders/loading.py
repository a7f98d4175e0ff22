"""Loads a model from the record of an earlier start, without torch, or else through torch."""

from app.encoders import fast_start
from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_request import ModelRequest


def load(asked: ModelRequest) -> OpenClipEncoder:
    """The encoder for a request. Raises ModelUnavailable like `openclip.load`."""
    if (found := fast_start.find(asked)) is not None:
        return found
    from app.encoders.torch_models import openclip  # takes seconds and hundreds of MB

    return openclip.load(asked.model, asked.pretrained, asked.device, asked.name, asked.wanted)
