"""Files of a model's repository: the hub's cache first, then the hub."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from app.errors import ModelUnavailable

WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUB = "hf-hub:"

WAYS_OUT = (
    "Three ways out: `make pull-model` where there is a network, "
    "IMAGE_SEARCH_CLIP_PRETRAINED=/path/to/checkpoint (or "
    "IMAGE_SEARCH_CLIP_MODEL=local-dir:/path) for weights on this disk, or TESTING=1 for the "
    "bundled demo model."
)


def hub_file(repository: str, names: tuple[str, ...]) -> str:
    """The path of the first of `names` that the cache holds, else the first that the hub has.

    Raises ModelUnavailable.
    """
    for name in names:
        try:
            return hf_hub_download(repository, name, local_files_only=True)
        except LocalEntryNotFoundError:
            continue
        except HFValidationError as error:
            raise ModelUnavailable(f"IMAGE_SEARCH_CLIP_MODEL={HUB}{repository}: {error}") from error
    for name in names:
        try:
            return fetch(f"{repository}/{name}", partial(hf_hub_download, repository, name))
        except EntryNotFoundError:
            continue
    raise ModelUnavailable(f"{repository} on the hub has no {' or '.join(names)}. {WAYS_OUT}")


def optional_hub_file(repository: str, name: str) -> str | None:
    """The path of a file in the cache, else from the hub; None where the repository has none.

    The cache also keeps that there is none. Raises ModelUnavailable.
    """
    known = try_to_load_from_cache(repository, name)
    if known is not None:
        return known if isinstance(known, str) else None
    with suppress(EntryNotFoundError):
        return fetch(f"{repository}/{name}", partial(hf_hub_download, repository, name))
    return None


def fetch(what: str, download: Callable[[], str]) -> str:
    """The path that `download` returns. Raises ModelUnavailable or EntryNotFoundError."""
    try:
        return download()
    except LocalEntryNotFoundError as error:  # no answer, a refusal, or offline mode
        answer = getattr(error.__cause__, "response", None)
        reason = (
            f"the hub answers {answer.status_code}"
            if answer is not None
            else "the hub cannot be reached"
        )
        raise ModelUnavailable(f"{what} is not in the cache and {reason}. {WAYS_OUT}") from error
    except EntryNotFoundError:
        raise
    except Exception as error:  # a broken transfer, a full disk, a wrong checksum
        raise ModelUnavailable(f"{what} cannot be downloaded: {error} {WAYS_OUT}") from error
