"""What else can be done where a model cannot be had, after the sentence that says why."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.command_names import typed
from app.errors import ModelUnavailable, ModelUnknown

OF_SEARCHES = (
    "Without the hub: IMAGE_SEARCH_CLIP_PRETRAINED=/path/to/checkpoint takes a file with weights, "
    "IMAGE_SEARCH_CLIP_MODEL=local-dir:/path/to/folder takes a folder with open_clip_config.json "
    "and weights, and TESTING=1 the bundled demo model."
)


@contextmanager
def offered(ways_out: str) -> Iterator[None]:
    """Add `ways_out` to what a ModelUnavailable says; a ModelUnknown is about the name alone."""
    try:
        yield
    except ModelUnknown:
        raise
    except ModelUnavailable as error:
        raise ModelUnavailable(f"{error} {ways_out}") from error


@contextmanager
def of_captions(named: str) -> Iterator[None]:
    """Say of a ModelUnavailable that it is about the captioner, and what can be done there."""
    try:
        yield
    except ModelUnavailable as error:
        raise ModelUnavailable(
            f"IMAGE_SEARCH_CAPTION_MODEL={named}: {error} Without the hub: "
            "IMAGE_SEARCH_CAPTION_MODEL=local-dir:/path/to/folder takes a folder with "
            "open_clip_config.json and weights of a CoCa; where the setting is not empty, "
            f"`{typed('pull-model')}` fetches what it names."
        ) from error


@contextmanager
def of_sentences(named: str) -> Iterator[None]:
    """Say of a ModelUnavailable that it is about a sentence model, and what can be done there."""
    try:
        yield
    except ModelUnavailable as error:
        raise ModelUnavailable(
            f"The sentence model {named}: {error} Without the hub: local-dir:/path/to/folder in "
            "IMAGE_SEARCH_SENTENCE_MODELS takes a folder with modules.json, as "
            "sentence-transformers writes it."
        ) from error
