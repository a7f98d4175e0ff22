"""Files of a model's repository: the hub's cache first, then the hub."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils._validators import validate_repo_id

from app.command_names import typed
from app.errors import ModelUnavailable, ModelUnknown

# At its import the library adds a handler that prints what ours prints too, once a configuration
# of logging is there; without one, Python's last resort prints it.
logging.getLogger("huggingface_hub").handlers.clear()

WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUB = "hf-hub:"


def check_repository(repository: str) -> None:
    """Raise ModelUnknown if no repository on the hub can have this name."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ModelUnknown(f"{HUB}{repository}: {error}") from error


def hub_file(repository: str, names: tuple[str, ...]) -> str:
    """The path of the first of `names` that the cache holds, else the first that the hub has.

    Raises ModelUnavailable.
    """
    check_repository(repository)
    for name in names:
        with suppress(LocalEntryNotFoundError):
            return hf_hub_download(repository, name, local_files_only=True)
    for name in names:
        try:
            return _fetch_of(repository, name)
        except EntryNotFoundError:
            continue
    raise ModelUnavailable(f"{repository} on the hub has no {' or '.join(names)}.")


def optional_hub_file(repository: str, name: str) -> str | None:
    """The path of a file in the cache, else from the hub; None where the repository has none.

    The cache also keeps that there is none. Raises ModelUnavailable.
    """
    known = try_to_load_from_cache(repository, name)
    if known is not None:
        return known if isinstance(known, str) else None
    with suppress(EntryNotFoundError):
        return _fetch_of(repository, name)
    return None


def _fetch_of(repository: str, name: str) -> str:
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    advice = (
        f"On a machine that reaches the hub, run `{typed('pull-model')}` with the same settings, "
        f"and copy the folder hub/{folder} from its HF_HOME (by default ~/.cache/huggingface) into "
        f"{constants.HF_HUB_CACHE} here; or set HF_ENDPOINT to a mirror of the hub that this "
        f"machine reaches; or get the files of {constants.ENDPOINT}/{repository} here yourself."
    )
    return fetch(f"{repository}/{name}", partial(hf_hub_download, repository, name), advice)


def fetch(what: str, download: Callable[[], str], advice: str) -> str:
    """The path that `download` returns; `advice` is for machines that cannot download it.

    Raises ModelUnavailable or EntryNotFoundError.
    """
    try:
        return download()
    except LocalEntryNotFoundError as error:  # no answer, a refusal, or offline mode
        answer = getattr(error.__cause__, "response", None)
        reason = (
            f"the hub answers {answer.status_code}"
            if answer is not None
            else "the hub cannot be reached"
        )
        raise ModelUnavailable(f"{what} is not in the cache and {reason}. {advice}") from error
    except EntryNotFoundError:
        raise
    except Exception as error:  # a broken transfer, a full disk, a wrong checksum
        raise ModelUnavailable(f"{what} cannot be downloaded: {error} {advice}") from error
