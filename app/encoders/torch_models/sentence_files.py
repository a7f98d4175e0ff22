"""Finds the files of a sentence model in sentence-transformers' layout, here or on the hub.

A repository has `modules.json`, which names its parts: a Transformer, in the folder of the model
itself or one below it, a Pooling in another, and often a Normalize, which has no files.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from huggingface_hub import try_to_load_from_cache

from app.command_names import typed
from app.encoders.file_identity import Files, digest_of, identities
from app.encoders.torch_models.hub_files import HUB, check_repository, hub_file, optional_hub_file
from app.encoders.torch_models.text_files import COMPANIONS, TRANSFORMERS_CONFIG, VOCABULARIES
from app.errors import ModelUnavailable

LOCAL = "local-dir:"
MODULES = "modules.json"
POOLING_CONFIG = "config.json"
LENGTH_CONFIG = "sentence_bert_config.json"
PROMPTS_CONFIG = "config_sentence_transformers.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
KINDS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
RECIPE = 1  # bump it when other vectors would be made of the same files
MAX_CONFIG_BYTES = 1 << 20


class _Place(Protocol):
    """Where files are, by paths below the model's folder."""

    def one_of(self, names: Sequence[str]) -> Path:
        """The first of `names` that is there. Raises ModelUnavailable."""

    def if_there(self, name: str) -> Path | None:
        """The file, if there is one. Raises ModelUnavailable."""


@dataclass(frozen=True)
class _Folder:
    folder: Path

    def one_of(self, names: Sequence[str]) -> Path:
        for name in names:
            if (found := self.folder / name).is_file():
                return found
        raise ModelUnavailable(f"{self.folder} has no {' or '.join(names)}.")

    def if_there(self, name: str) -> Path | None:
        return found if (found := self.folder / name).is_file() else None


@dataclass(frozen=True)
class _Repository:
    name: str

    def one_of(self, names: Sequence[str]) -> Path:
        return Path(hub_file(self.name, tuple(names)))

    def if_there(self, name: str) -> Path | None:
        found = optional_hub_file(self.name, name)
        return None if found is None else Path(found)


@dataclass(frozen=True)
class SentenceFiles:
    """A sentence model on this disk: `folder` is that of its Transformer, `pooling` a file.

    `read` are all files that its vectors depend on.
    """

    folder: Path
    pooling: Path
    lengths: Path | None
    prompts: Path | None
    read: tuple[Path, ...]

    def state(self) -> Files:
        """Changes once one of the files does. Raises OSError if one is gone."""
        found = identities(self.read)
        return {str(path): found[str(path)] for path in map(Path.absolute, self.read)}

    def fingerprint(self) -> str:
        """SHA-256, as hex: models with the same one give the same vectors. Raises OSError."""
        names = [path.name for path in self.read]
        told = json.dumps([RECIPE, names, digest_of(self.state())])
        return hashlib.sha256(told.encode()).hexdigest()


def find_sentence_files(name: str) -> SentenceFiles:
    """The files of `hf-hub:org/name` or `local-dir:/path`, downloaded if needed.

    Raises ModelUnavailable saying what is missing.
    """
    if name.startswith(LOCAL):
        return _files_in(_folder_of(name))
    repository = name.removeprefix(HUB)
    found = _files_in(_Repository(repository))
    root = Path(hub_file(repository, (MODULES,))).parent
    if any(root not in path.parents for path in found.read):
        raise ModelUnavailable(
            f"The cache holds files of {repository} of different revisions: delete its folder "
            f"there, and run `{typed('pull-model')}` to fetch them again."
        )
    return found


def sentence_files_here(name: str) -> SentenceFiles | None:
    """The same, without asking the hub; None where a file is missing."""
    with suppress(ModelUnavailable):
        if name.startswith(LOCAL):
            return _files_in(_folder_of(name))
        repository = name.removeprefix(HUB)
        check_repository(repository)
        modules = try_to_load_from_cache(repository, MODULES)
        if isinstance(modules, str):
            return _files_in(_Folder(Path(modules).parent))
    return None


def _folder_of(name: str) -> _Folder:
    return _Folder(Path(name.removeprefix(LOCAL)).expanduser())


def _files_in(place: _Place) -> SentenceFiles:
    """Raises ModelUnavailable."""
    modules = place.one_of([MODULES])
    transformer, pooling_path = _parts(modules)
    config = place.one_of([f"{transformer}{TRANSFORMERS_CONFIG}"])
    pooling = place.one_of([f"{pooling_path}{POOLING_CONFIG}"])
    weights = place.one_of([f"{transformer}{one}" for one in WEIGHTS])
    vocabulary = place.one_of([f"{transformer}{one}" for one in VOCABULARIES])
    companions = [place.if_there(f"{transformer}{one}") for one in COMPANIONS]
    lengths = place.if_there(f"{transformer}{LENGTH_CONFIG}")
    prompts = place.if_there(PROMPTS_CONFIG)
    needed = [modules, config, pooling, weights, vocabulary]
    read = dict.fromkeys([*needed, *filter(None, [*companions, lengths, prompts])])
    return SentenceFiles(config.parent, pooling, lengths, prompts, tuple(read))


def _parts(modules: Path) -> tuple[str, str]:
    """The folders of the Transformer and the Pooling, each empty or with a slash at its end.

    Raises ModelUnavailable.
    """
    try:
        parts = [(one["type"].rpartition(".")[2], one["path"]) for one in read_json(modules, list)]
        kinds, paths = [kind for kind, _ in parts], [PurePosixPath(path) for _, path in parts]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"{modules} names no parts of a sentence model.") from error
    if kinds not in KINDS:
        raise ModelUnavailable(
            f"{modules} names {', '.join(kinds) or 'nothing'}: only models of a Transformer, a "
            "Pooling and perhaps a Normalize are known here."
        )
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        raise ModelUnavailable(f"{modules} leads out of its own folder.")
    transformer, pooling = (f"{path}/" if path.parts else "" for path in paths[:2])
    return transformer, pooling


def read_json(file: Path, kind: type) -> Any:
    """The content of a configuration file, of that kind. Raises ModelUnavailable."""
    try:
        with file.open("rb") as opened:
            told = json.loads(opened.read(MAX_CONFIG_BYTES))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{file} cannot be read: {error}") from error
    if not isinstance(told, kind):
        raise ModelUnavailable(f"{file} is not as sentence-transformers writes it.")
    return told
