"""Settings that are well-formed but name no folder that can be used: a start says so, by name."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.errors import SettingsInvalid, SourceUnavailable
from app.setting_names import names_of
from app.settings import ROOT, Settings
from app.storage.bounded_reads import ORIGINALS

log = logging.getLogger(__name__)

DEFAULT_IMAGES = ROOT / Settings.model_fields["images_dir"].default


def check_places(settings: Settings) -> None:
    """Raise SettingsInvalid naming a folder that cannot be read or made, with its setting.

    A folder of pictures that is missing is only warned of, since its disk may be mounted later; one
    that is to be watched has to be there. The folders of uploads and thumbnails are checked where
    they are opened, for every command.
    """
    if settings.testing and settings.images_dir != DEFAULT_IMAGES:
        log.info(
            "With TESTING=1 the demo's pictures come from %s, and %s is not used.",
            *(_named("test_images_dir"), _named("images_dir")),
        )
    for folder in settings.watch_dirs:
        if not _may_be(folder, Path.is_dir):
            raise SettingsInvalid(
                f"{_named('watch_dirs')}: {folder} is not a folder. Create it first."
            )
    for folder in settings.source_dirs:
        _check_source(_named("source_dirs"), folder)
    if settings.source_dir != DEFAULT_IMAGES:  # which a start makes
        _check_source(
            _named("test_images_dir" if settings.testing else "images_dir"), settings.source_dir
        )
    _check_own(_named("model_cache_dir"), settings.model_cache_dir)
    if settings.backup_dir and not settings.backup_dir.startswith("s3://"):
        _check_own(_named("backup_dir"), Path(settings.backup_dir))


def _check_source(setting: str, folder: Path) -> None:
    if _may_be(folder, Path.is_dir):
        return
    if _may_be(folder, Path.exists):
        raise SettingsInvalid(f"{setting}: {folder} is a file. Name the folder that it is in.")
    log.warning("%s: there is no folder %s. Create it, or mount its disk.", setting, folder)


def _check_own(setting: str, folder: Path) -> None:
    """A folder that is made when it is needed: nothing on the way there may be a file."""
    for place in (folder, *folder.parents):
        with suppress(OSError):  # such as a folder that this user may not enter
            if place.exists():
                if not place.is_dir():
                    raise SettingsInvalid(f"{setting}: {place} is a file, not a folder.")
                return


def _may_be(path: Path, check: Callable[[Path], bool]) -> bool:
    """What the check says; True where the disk does not answer, which it may do later."""
    try:
        return ORIGINALS.call(path, lambda beat: check(path))
    except SourceUnavailable:
        return True


def _named(field: str) -> str:
    return names_of(field)[0]
