import logging
import re
from pathlib import Path

import pytest

from app.errors import SettingsInvalid
from app.setting_names import names_of, warn_of_unknown_variables
from app.settings import ROOT, Settings


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
    nearest = r"Did you mean API_PORT\?"
    with pytest.raises(SettingsInvalid, match=rf"API_PROT in \.env is not a setting\. {nearest}"):
        Settings.load(file)


def test_what_is_not_read_from_the_file_is_refused_with_the_place_to_set_it(
    tmp_path: Path,
) -> None:
    """Issue 19, trial at the command line: the refusal left out where to set them."""
    file = tmp_path / "own.env"
    file.write_text("FORWARDED_ALLOW_IPS=10.0.0.1\nTORCH_BACKEND=cpu\nHTTPS_PROXY=http://hush\n")
    with pytest.raises(SettingsInvalid) as refused:
        Settings.load(file)
    told = str(refused.value)
    assert "in the environment instead: FORWARDED_ALLOW_IPS=… make start." in told
    assert "in the environment instead: TORCH_BACKEND=… make install." in told
    assert "HTTPS_PROXY in own.env is not a setting. If another program reads it, set it in" in told
    assert "hush" not in told


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("IMAGE_SEARCH_API_PORT 9000\n", "1"),
        ("# port\n\n\nIMAGE_SEARCH_API_PORT\n", "4"),
        ("TESTING=1\n\nS3_SECRET_ACCESS_KEY='hush\nTESTING: 1\n", "3, 4"),
    ],
)
def test_a_line_that_says_nothing_stops_the_start(tmp_path: Path, text: str, lines: str) -> None:
    """Issue 19, trial at the command line: python-dotenv only warned, and the line was lost."""
    file = tmp_path / ".env"
    file.write_text(text)
    with pytest.raises(SettingsInvalid, match=rf"\.env, line {lines}: write NAME=value") as refused:
        Settings.load(file)
    assert "hush" not in str(refused.value)


def test_a_file_that_is_named_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "none.env"))
    with pytest.raises(SettingsInvalid, match=r"ENV_FILE=.*none\.env: there is no such file"):
        Settings.load()


@pytest.mark.parametrize(
    "name", ["IMAGE_SEARCH_BATCH_SIZE", "BATCH_SIZE", "image_search_batch_size"]
)
def test_a_setting_has_a_name_with_the_prefix_and_one_without(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19, line 5."""
    monkeypatch.setenv(name, "8")
    assert Settings.load(None).batch_size == 8
    monkeypatch.setenv(name, "0")
    with pytest.raises(SettingsInvalid, match=f"Settings: {name}='0': "):
        Settings.load(None)


def test_names_that_other_programs_share_are_documented_without_the_prefix() -> None:
    assert names_of("testing") == ("TESTING", "IMAGE_SEARCH_TESTING")
    assert names_of("s3_bucket") == ("S3_BUCKET", "IMAGE_SEARCH_S3_BUCKET", "R2_BUCKET_NAME")
    assert names_of("api_port") == ("IMAGE_SEARCH_API_PORT", "API_PORT")


def test_two_names_of_one_setting_must_not_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19, line 5: neither is chosen silently, wherever the two are set."""
    file = tmp_path / ".env"
    file.write_text("IMAGE_SEARCH_API_PORT=9001\nS3_ACCESS_KEY_ID=id\nS3_SECRET_ACCESS_KEY=hush\n")
    monkeypatch.setenv("API_PORT", "9001")
    assert Settings.load(file).api_port == 9001
    monkeypatch.setenv("API_PORT", "9002")
    both = (
        r"IMAGE_SEARCH_API_PORT='9001' \(in \.env\) and API_PORT='9002' \(in the environment\) "
        "are two names of one setting, and differ"
    )
    with pytest.raises(SettingsInvalid, match=both):
        Settings.load(file)
    monkeypatch.setenv("API_PORT", "")
    monkeypatch.setenv("R2_SECRET_ACCESS_KEY", "hush hush")
    with pytest.raises(SettingsInvalid, match="R2_SECRET_ACCESS_KEY") as refused:
        Settings.load(file)
    assert "hush" not in str(refused.value)


def test_an_unknown_variable_with_the_prefix_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 19, line 5."""
    monkeypatch.setenv("IMAGE_SEARCH_API_PROT", "9001")
    monkeypatch.setenv("IMAGE_SEARCH_API_HOST", "127.0.0.1")
    monkeypatch.setenv("IMAGE_SEARCH_QQQ", "1")
    monkeypatch.setenv("IMAGE_SEARCH_TESTNG", "1")
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_variables(Settings.model_fields)
    assert caplog.messages == [
        "IMAGE_SEARCH_API_PROT is set in the environment, but is not a setting. "
        "Did you mean IMAGE_SEARCH_API_PORT?",
        "IMAGE_SEARCH_QQQ is set in the environment, but is not a setting. "
        "docs/settings.md lists all settings.",
        "IMAGE_SEARCH_TESTNG is set in the environment, but is not a setting. "
        "Did you mean IMAGE_SEARCH_TESTING?",
    ]


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("IMAGE_SEARCH_API_HOST=ü".encode("utf-16"))
    with pytest.raises(SettingsInvalid, match=r"\.env cannot be read"):
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
        ("DEFAULT_TIMEZONE", "Europe/Lisboa"),
        ("DEFAULT_TIMEZONE", "europe"),
        ("SEARCH_RATE", "0/second"),
        ("SEARCH_RATE", "10/second;1000/hour"),
    ],
)
def test_a_malformed_value_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=f"{name}='{value}'"):
        Settings.load(None)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("API_PORT", "abc", "write a whole number"),
        ("MAX_UPLOAD_MB", "many", "write a number"),
        ("MAX_UPLOAD_MB", "0", "write a number above 0"),
        ("MAX_SEARCHES", "0", "write a number of at least 1"),
        ("TESTING", "perhaps", "write 1 or 0"),
        ("WORKER", "remote", "write one of: 'embedded' or 'none'"),
        ("UPLOAD_RATE", "lots", "write a rate such as 100/second or 1000/hour, or none"),
        ("CORS_ORIGINS", "example.org", "example.org"),
        ("DOWNLOAD_ALLOW", "10.0.0.0.0/8", "write it like 10.0.0.0/8"),
        ("S3_ENDPOINT_URL", "s3.example.org", "write it like https://host"),
        ("HF_ENDPOINT", "mirror", "write it like https://host"),
        ("S3_BUCKET", "s3://photos", "s3://photos is not a bucket's name"),
        ("S3_BUCKETS", "photos, more/2019", "more/2019 is not a bucket's name"),
        ("SENTENCE_MODELS", "hf-hub:a/b, all-MiniLM", "all-MiniLM is neither hf-hub:org/name nor"),
        ("S3_ACCESS_KEY_ID", "id", "S3_SECRET_ACCESS_KEY: set it and S3_ACCESS_KEY_ID"),
    ],
)
def test_a_malformed_value_says_what_to_write(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refused:
        Settings.load(Path("/dev/null"))
    assert told in str(refused.value)
    assert not re.search("Input should|Value error|parse", str(refused.value))


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


@pytest.mark.parametrize(
    ("address", "is_taken"),
    [
        ("https://tiles.example.com/{z}/{x}/{y}.png", True),
        ("https://tiles.example.com:8443/a/{z}/{y}/{x}@2x.png?key=b-1", True),
        ("http://127.0.0.1:8090/{z}/{x}/{y}", True),
        ("http://localhost/{z}/{x}/{y}", True),
        ("http://[::1]:80/{z}/{x}/{y}", True),
        ("http://tiles.example.com/{z}/{x}/{y}.png", False),
        ("http://127.0.0.1.example.com/{z}/{x}/{y}.png", False),
        ("https://user:word@tiles.example.com/{z}/{x}/{y}.png", False),
        ("https://tiles.example.com/{z}/{x}.png", False),
        ("https://tiles.example.com/{z}/{x}/{y}/{y}.png", False),
        ("https://{s}.example.com/{z}/{x}/{y}.png", False),
        ("https://tiles.example.com; script-src */{z}/{x}/{y}", False),
        ("https://tiles.example.com/{z}/{x}/{y}\n", False),
        ("ftp://tiles.example.com/{z}/{x}/{y}", False),
        ("//tiles.example.com/{z}/{x}/{y}", False),
    ],
)
def test_a_maps_tiles_come_encrypted_or_from_this_machine(
    monkeypatch: pytest.MonkeyPatch, address: str, is_taken: bool
) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_MAP_TILES", address)
    if is_taken:
        assert Settings.load().map_tiles == address
    else:
        with pytest.raises(SettingsInvalid, match="IMAGE_SEARCH_MAP_TILES"):
            Settings.load()
