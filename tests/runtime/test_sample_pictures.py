"""Pictures that a model is calibrated on: the user's own, else the bundled ones."""

from pathlib import Path

from app.runtime import models
from app.runtime.sample_pictures import captioned_pictures, sample_pictures
from app.settings import Settings
from tests.fixtures.drawn_pictures import png


def settings(folder: Path) -> Settings:
    return Settings(
        images_dir=folder / "images",
        upload_dir=folder / "uploads",
        model_cache_dir=folder / "converted",
        runtime="torch",
        precision="bf16",
    )


def test_the_settings_say_what_is_wanted(tmp_path: Path) -> None:
    wanted = models.runtime_options(settings(tmp_path))
    assert (wanted.runtime, wanted.precision) == ("torch", "bf16")
    assert wanted.folder == tmp_path / "converted"


def test_samples_are_the_users_own_where_there_are_enough(tmp_path: Path) -> None:
    for folder, count in (("images/deep", 60), ("uploads", 60)):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            (tmp_path / folder / f"{number}.png").write_bytes(png(number, (21, 13)))
    (tmp_path / "images" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "images" / "notes.txt").write_text("no picture")
    found = sample_pictures(settings(tmp_path), 200)
    assert len(found) == 120
    assert {image.size for image in found} == {(21, 13)}
    again = sample_pictures(settings(tmp_path), 110)
    assert [image.tobytes() for image in again] == [image.tobytes() for image in found[:110]]


def test_samples_are_the_bundled_ones_where_there_are_too_few(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.png").write_bytes(png(1, (21, 13)))
    found = sample_pictures(settings(tmp_path), 50)
    assert len(found) == 50
    assert {image.mode for image in found} == {"RGB"}
    assert (21, 13) not in {image.size for image in found}


def test_captions_go_with_the_bundled_pictures() -> None:
    found = captioned_pictures()
    assert len(found) == 295
    assert {image.mode for image, _ in found} == {"RGB"}
    assert found[0][1] == "a green tree in a meadow"
