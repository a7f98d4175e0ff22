from pathlib import Path

import pytest

from app.errors import SettingsInvalid
from app.settings import ROOT, Settings
from scripts import env_example


def test_env_example_lists_exactly_the_settings() -> None:
    assert (ROOT / ".env.example").read_text() == env_example.text()


def test_env_example_gives_the_defaults() -> None:
    assert Settings.load(ROOT / ".env.example") == Settings.load(None)


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("API_PORT=9001\nBATCH_SIZE=8\n")
    monkeypatch.setenv("API_PORT", "9002")
    settings = Settings.load(file)
    assert (settings.api_port, settings.batch_size) == (9002, 8)


def test_an_unknown_name_in_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("API_PROT=9001\n")
    with pytest.raises(SettingsInvalid, match=r"API_PROT in \.env is not a setting"):
        Settings.load(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "eighty"),
        ("API_PORT", "70000"),
        ("DEVICE", "gpu"),
        ("RUNTIME", "onnx"),
        ("PRECISION", "int4"),
        ("TESTING", "perhaps"),
        ("MAX_MEGAPIXELS", "0"),
        ("MAX_UPLOAD_MB", "inf"),
        ("DOWNLOAD_ALLOW", "10.0.0.1/8"),
        ("LEASE_SECONDS", "90"),
        ("SEARCH_RATE", "fast"),
        ("SEARCH_RATE", "0/second"),
        ("SEARCH_RATE", "10/second;1000/hour"),
    ],
)
def test_a_malformed_value_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=f"{name}='{value}'"):
        Settings.load(None)


def test_relative_paths_start_at_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES_DIR", "pictures")
    assert Settings.load(None).images_dir == ROOT / "pictures"
    monkeypatch.setenv("IMAGES_DIR", "../pictures/./of/..")
    assert Settings.load(None).images_dir == ROOT.parent / "pictures"


def test_testing_has_pictures_uploads_and_a_database_of_its_own() -> None:
    real, demo = Settings(testing=False), Settings(testing=True)
    assert real.source_dir != demo.source_dir
    assert real.storage_dir != demo.storage_dir
    assert real.database_name != demo.database_name


def test_the_names_of_the_first_version_are_taken(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "R2_ENDPOINT_URL=http://r2\nR2_ACCESS_KEY_ID=id\nR2_SECRET_ACCESS_KEY=hush\n"
        "R2_BUCKET_NAME=pictures\nMAX_IMAGES=100\n"
    )
    settings = Settings.load(file)
    assert settings.s3_endpoint_url == "http://r2"
    assert (settings.s3_access_key_id, settings.s3_bucket) == ("id", "pictures")
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() == "hush"
    assert "hush" not in repr(settings)
    assert settings.max_images == 100


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCH_DIRS", "/a, pictures")
    monkeypatch.setenv("DOWNLOAD_ALLOW", "127.0.0.0/8,::1/128")
    settings = Settings.load(None)
    assert settings.watch_dirs == (Path("/a"), ROOT / "pictures")
    assert [str(network) for network in settings.download_allow] == ["127.0.0.0/8", "::1/128"]
