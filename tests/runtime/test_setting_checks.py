"""Settings that name what is not there are told at a start, each by its own name."""

from pathlib import Path

import pytest

from app.database.connections import Sessions
from app.errors import SettingsInvalid
from app.runtime.models import check_further_models
from app.runtime.setting_checks import DEFAULT_IMAGES, check_places
from app.settings import Settings


@pytest.mark.parametrize(
    ("field", "below", "told"),
    [
        ("source_dirs", "", "IMAGE_SEARCH_SOURCE_DIRS"),
        ("test_images_dir", "", "IMAGE_SEARCH_TEST_IMAGES_DIR"),
        ("model_cache_dir", "cache", "IMAGE_SEARCH_MODEL_CACHE_DIR"),
        ("backup_dir", "backups", "IMAGE_SEARCH_BACKUP_DIR"),
    ],
)
def test_a_file_where_a_folder_has_to_be_is_refused(
    settings: Settings, tmp_path: Path, field: str, below: str, told: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    place: object = file / below
    if field == "source_dirs":
        place = (tmp_path, file)
    elif field == "backup_dir":
        place = str(place)
    with pytest.raises(SettingsInvalid, match=f"^{told}: {file} is a file"):
        check_places(settings.model_copy(update={field: place}))


def test_a_folder_of_pictures_that_is_missing_is_warned_of(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its disk may be mounted later: searches do not wait for that."""
    none, images = tmp_path / "none", tmp_path / "images"
    check_places(
        settings.model_copy(update={"source_dirs": (tmp_path, none), "test_images_dir": images})
    )
    assert [one.getMessage().partition(". ")[0] for one in caplog.records] == [
        f"IMAGE_SEARCH_SOURCE_DIRS: there is no folder {none}",
        f"IMAGE_SEARCH_TEST_IMAGES_DIR: there is no folder {images}",
    ]


def test_a_demo_says_that_it_does_not_use_ones_own_folder(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TESTING=1 IMAGE_SEARCH_IMAGES_DIR=… showed the bundled pictures, without a word."""
    caplog.set_level("INFO")
    for folder, times in ((DEFAULT_IMAGES, 0), (tmp_path, 1)):
        check_places(settings.model_copy(update={"images_dir": folder}))
        said = [one for one in caplog.messages if "IMAGE_SEARCH_IMAGES_DIR is not used" in one]
        assert len(said) == times


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ViT-B-33@openai", "open_clip knows no model ViT-B-33"),
        ("ViT-B-32@nonsense", "nonsense is neither a file nor a tag of ViT-B-32"),
        ("ViT-B-32", "no tag is neither a file nor a tag of ViT-B-32"),
        ("ViT-B-32@openai", "Name the model ViT-B-32-quickgelu"),
        ("local-dir:/nowhere", "open_clip_config.json is missing"),
        ("hf-hub:a/b/c", "Repo id must"),
    ],
)
def test_a_model_that_cannot_be_had_is_refused(
    settings: Settings, sessions: Sessions, text: str, told: str
) -> None:
    names = ("labels", "hf-hub:a/b", text)
    with pytest.raises(SettingsInvalid, match=told) as refused:
        check_further_models(settings.model_copy(update={"collection_models": names}), sessions)
    assert str(refused.value).startswith(f"IMAGE_SEARCH_COLLECTION_MODELS={text}: ")
