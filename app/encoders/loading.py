"""A model is loaded: by the shortcut that an earlier start has left, or else by torch."""

from app.encoders import fast_start
from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_request import ModelRequest


def load(asked: ModelRequest) -> OpenClipEncoder:
    """The encoder that is asked for. Raises ModelUnavailable as `openclip.load`."""
    if (found := fast_start.find(asked)) is not None:
        return found
    from app.encoders.torch_models import openclip  # seconds, and hundreds of megabytes

    return openclip.load(asked.model, asked.pretrained, asked.device, asked.name, asked.wanted)
