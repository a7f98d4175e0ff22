"""Buckets over real HTTP, as they are and with faults in between."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from app.errors import (
    EntryRefused,
    ImageSearchError,
    ImageTooLarge,
    ImageUnsupported,
    ImageVanished,
    SourceUnavailable,
    SourceUnreadable,
)
from app.pictures.formats import check_signature
from app.storage.buckets import CHUNK_BYTES, Bucket, Buckets
from tests.fixtures.s3_server import S3, SECRET_ACCESS_KEY, Fault

ODD_KEYS = (
    "a b/c d.jpg", "büro/日本 😀.png", "100%/50%25.jpg", "x#y?z&w=1.png", "x+y.jpg", "q'\"<>.jpg",
    "tab\tin it.jpg", "a//b.jpg", "(*)!.jpg", "back\\slash.jpg",
)  # fmt: skip
SILENT_SECONDS = 60.0  # far longer than a read may take here, on any machine
MANY = [f"many/{number:04}.jpg" for number in range(1200)]

Use = Callable[[Bucket], object]
USES: dict[str, Use] = {
    "objects": lambda bucket: list(bucket.objects()),
    "exists": lambda bucket: bucket.exists("a.jpg"),
    "read": lambda bucket: bucket.read("a.jpg", 1000),
    "presigned_url": lambda bucket: bucket.presigned_url("a.jpg", 60),
}
ASKING = ("objects", "exists", "read")  # a presigned URL is made without asking
each_use = pytest.mark.parametrize("use", [USES[name] for name in ASKING], ids=ASKING)


def keys(bucket: Bucket, *where: Any) -> list[str]:
    return [found.key for found in bucket.objects(*where)]


def raised(use: Use, bucket: Bucket) -> ImageSearchError:
    """What `use` raises: one line that tells neither the secret nor where the server is."""
    with pytest.raises(ImageSearchError) as caught:
        use(bucket)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert SECRET_ACCESS_KEY not in text
    assert "127.0.0.1" not in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_a_listing_has_every_object_in_order_with_etag_and_size(s3: S3) -> None:
    s3.put_all("pictures", dict.fromkeys(MANY, b"hello"))
    found = list(s3.bucket("pictures").objects())
    assert [each.key for each in found] == MANY
    assert {(each.etag, each.size) for each in found} == {("5d41402abc4b2a76b9719d911017c592", 5)}
    assert len(s3.asked("list-type=2")) == 2


def test_a_listing_is_taken_up_behind_a_key(s3: S3) -> None:
    s3.put_all("pictures", dict.fromkeys([*MANY, "another.jpg"], b""))
    bucket = s3.bucket("pictures")
    assert keys(bucket, "many/", MANY[99]) == MANY[100:]  # over the end of a page
    s3.delete("pictures", MANY[1196])
    assert keys(bucket, "many/", MANY[1196]) == MANY[1197:]
    assert keys(bucket, "many/", MANY[-1]) == []


def test_the_order_is_that_of_utf_8_and_folders_are_passed_over(s3: S3) -> None:
    names = ["z.jpg", "a/", "a/b.jpg", "a-b.jpg", "a.jpg", "é.jpg", "\U0001f600.jpg", "\uff5e.jpg"]
    s3.put_all("pictures", dict.fromkeys(names, b"x"))
    expected = sorted((name for name in names if name != "a/"), key=str.encode)
    assert keys(s3.bucket("pictures")) == expected
    assert expected[-1] == "\U0001f600.jpg"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_comes_back_as_it_is(s3: S3, key: str) -> None:
    s3.put("pictures", key, key.encode())
    s3.put("pictures", "zz.jpg", b"")
    bucket = s3.bucket("pictures")
    assert keys(bucket) == [key, "zz.jpg"]
    assert keys(bucket, key) == [key]
    assert keys(bucket, "", key) == ["zz.jpg"]
    assert bucket.exists(key)
    assert not bucket.exists(key[:-1])
    assert bucket.read(key, 1000) == key.encode()
    with urlopen(bucket.presigned_url(key, 60)) as response:
        assert response.read() == key.encode()


def test_an_object_is_read_up_to_so_many_bytes(s3: S3) -> None:
    s3.put("pictures", "a.jpg", b"x" * 1000)
    s3.put("pictures", "empty.jpg", b"")
    bucket = s3.bucket("pictures")
    assert bucket.read("a.jpg", 1000) == b"x" * 1000
    assert bucket.read("empty.jpg", 1000) == b""
    with pytest.raises(ImageTooLarge, match=r"0\.000999 MB"):
        bucket.read("a.jpg", 999)


def test_an_object_is_opened_in_chunks(s3: S3) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 100)
    s3.put("pictures", "a.jpg", data)
    with closing(s3.bucket("pictures").open("a.jpg")) as opened:
        chunks = list(opened)
    assert opened.size == len(data)
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= CHUNK_BYTES


def test_a_presigned_url_is_for_anyone_and_for_so_long(s3: S3) -> None:
    s3.put("pictures", "a.jpg", b"data")
    url = s3.bucket("pictures").presigned_url("a.jpg", 7200)
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["7200"]
    assert query["X-Amz-Credential"][0].endswith("/auto/s3/aws4_request")
    assert SECRET_ACCESS_KEY not in url
    assert not s3.requests
    with urlopen(url) as response:
        assert response.read() == b"data"
    s3.delete("pictures", "a.jpg")
    with pytest.raises(HTTPError, match="404") as caught:
        urlopen(url)
    caught.value.close()


def test_on_aws_a_presigned_url_names_the_buckets_own_region(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)  # which stands for all of AWS
    s3.make("pictures", "eu-west-3")
    buckets = s3.buckets(endpoint_url=None)
    for _ in range(2):
        assert "%2Feu-west-3%2Fs3" in buckets.bucket("pictures").presigned_url("a.jpg", 60)
    assert len(s3.asked("HEAD /pictures")) == 1
    assert "%2Fus-west-2%2F" in s3.buckets(endpoint_url=None, region="us-west-2").bucket(
        "pictures"
    ).presigned_url("a.jpg", 60)
    assert len(s3.requests) == 1


def test_threads_share_one_client(s3: S3) -> None:
    s3.put_all("pictures", {f"{number}.jpg": b"%d" % number for number in range(40)})
    buckets = s3.buckets()
    with ThreadPoolExecutor(8) as pool:
        clients = set(pool.map(lambda _: buckets.client(), range(8)))
        data = list(pool.map(lambda n: buckets.bucket("pictures").read(f"{n}.jpg", 9), range(40)))
    assert len(clients) == 1
    assert data == [b"%d" % number for number in range(40)]


def test_a_download_is_there_whole(s3: S3, tmp_path: Path) -> None:
    s3.put("pictures", "a.jpg", b"data")
    bucket = s3.bucket("pictures")
    (found,) = bucket.objects()
    bucket.download(found.key, found.etag, tmp_path / "a.jpg")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.jpg": b"data"}


def test_a_download_of_what_was_replaced_writes_nothing(s3: S3, tmp_path: Path) -> None:
    s3.put("pictures", "a.jpg", b"data")
    bucket = s3.bucket("pictures")
    (found,) = bucket.objects()
    s3.put("pictures", "a.jpg", b"other")
    with pytest.raises(ImageVanished, match=r"^a\.jpg was replaced\.$"):
        bucket.download(found.key, found.etag, tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_or_is_stopped_leaves_what_was_there(
    s3: S3, tmp_path: Path
) -> None:
    s3.put("pictures", "a.jpg", b"x" * 4 * CHUNK_BYTES)
    bucket, stop = s3.bucket("pictures"), threading.Event()
    (found,) = bucket.objects()
    (tmp_path / "a.jpg").write_bytes(b"old")
    s3.faults.append(Fault("GET /pictures/a.jpg", times=1, broken_off=True))
    with pytest.raises(SourceUnavailable, match="breaks off"):
        bucket.download(found.key, found.etag, tmp_path / "a.jpg")
    stop.set()
    with pytest.raises(SourceUnavailable, match="not copied completely"):
        bucket.download(found.key, found.etag, tmp_path / "a.jpg", stop)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.jpg": b"old"}


def test_an_object_that_is_gone_since_it_was_listed(s3: S3) -> None:
    s3.put("pictures", "a.jpg", b"data")
    bucket = s3.bucket("pictures")
    (found,) = bucket.objects()
    s3.delete("pictures", "a.jpg")
    with pytest.raises(ImageVanished, match=r"^a\.jpg is gone\.$"):
        bucket.read(found.key, 1000)
    assert not bucket.exists(found.key)


@pytest.mark.parametrize(("use", "failures"), [(USES["objects"], 1), (USES["read"], 2)])
def test_errors_that_pass_are_not_noticed(s3: S3, use: Use, failures: int) -> None:
    s3.put("pictures", "a.jpg", b"data")
    s3.faults += [Fault("GET", 1, status=500), Fault("GET", 1, status=503)][:failures]
    assert use(s3.bucket("pictures"))
    assert len(s3.requests) == failures + 1


@each_use
def test_errors_that_stay_may_pass_later(s3: S3, use: Use) -> None:
    s3.put("pictures", "a.jpg", b"data")
    s3.faults.append(Fault("GET", status=500))
    error = raised(use, s3.bucket("pictures", attempts=2))
    assert isinstance(error, SourceUnavailable)
    assert (
        str(error)
        == "The bucket pictures answers InternalError: try again, or see S3_ENDPOINT_URL."
    )
    assert len(s3.requests) == 2


@pytest.mark.parametrize(("status", "code"), [(429, "TooManyRequests"), (400, "RequestTimeout")])
def test_being_too_busy_passes(s3: S3, status: int, code: str) -> None:
    s3.faults.append(Fault("GET", status=status, code=code))
    error = raised(USES["read"], s3.bucket("pictures", attempts=1))
    assert isinstance(error, SourceUnavailable)


@each_use
def test_silence_ends_in_time(s3: S3, use: Use) -> None:
    s3.put("pictures", "a.jpg", b"data")
    s3.faults.append(Fault("GET", delay_seconds=SILENT_SECONDS))
    before = time.monotonic()
    error = raised(use, s3.bucket("pictures", attempts=1, read_seconds=0.2))
    assert isinstance(error, SourceUnavailable)
    assert "takes too long" in str(error)
    assert time.monotonic() - before < SILENT_SECONDS / 2


def test_silence_in_the_middle_of_a_body_ends_in_time(s3: S3) -> None:
    s3.put("pictures", "a.jpg", b"data" * CHUNK_BYTES)
    s3.faults.append(Fault("GET", silent_seconds=SILENT_SECONDS, broken_off=True))
    before = time.monotonic()
    error = raised(
        lambda bucket: bucket.read("a.jpg", 10**9), s3.bucket("pictures", read_seconds=0.2)
    )
    assert isinstance(error, SourceUnavailable)
    assert "takes too long" in str(error)
    assert time.monotonic() - before < SILENT_SECONDS / 2


@pytest.mark.parametrize("use", [USES["objects"], USES["read"]])
def test_a_body_that_breaks_off_is_no_body(s3: S3, use: Use) -> None:
    s3.put("pictures", "a.jpg", b"data")
    s3.faults.append(Fault("GET", broken_off=True))
    error = raised(use, s3.bucket("pictures", attempts=1))
    assert isinstance(error, SourceUnavailable)
    assert "S3_ENDPOINT_URL" in str(error)


@each_use
def test_nobody_listens(use: Use) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        bucket = Buckets(endpoint, "AKIATESTING", SECRET_ACCESS_KEY, attempts=1).bucket("pictures")
        error = raised(use, bucket)
    assert isinstance(error, SourceUnavailable)
    assert "cannot be reached" in str(error)
    assert "S3_ENDPOINT_URL" in str(error)


@each_use
@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_wrong_keys_are_said_to_be(s3: S3, use: Use, code: str) -> None:
    s3.faults.append(Fault("GET", status=403, code=code))
    error = raised(use, s3.bucket("pictures"))
    assert isinstance(error, SourceUnreadable)
    assert str(error) == (
        f"The bucket pictures answers {code}: "
        "see S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_ENDPOINT_URL, S3_REGION."
    )
    assert len(s3.requests) == 1  # asking again would not help


@each_use
def test_an_absent_bucket_is_said_to_be(s3: S3, use: Use) -> None:
    error = raised(use, s3.buckets().bucket("nowhere"))
    assert isinstance(error, SourceUnreadable)
    assert str(error) == "There is no bucket nowhere: see S3_BUCKET, S3_ENDPOINT_URL."


def test_an_archived_object_is_refused_by_itself(s3: S3) -> None:
    s3.faults.append(Fault("GET", status=403, code="InvalidObjectState"))
    error = raised(USES["read"], s3.bucket("pictures"))
    assert isinstance(error, EntryRefused)
    assert "a.jpg" in str(error)


@pytest.mark.parametrize(
    "endpoint", ["not a url", "http://[::1", "ftp://host", "http://host:99999"]
)
def test_a_malformed_endpoint_is_said_to_be(endpoint: str) -> None:
    bucket = Buckets(endpoint, "AKIATESTING", SECRET_ACCESS_KEY).bucket("pictures")
    for use in (USES["objects"], USES["presigned_url"]):
        error = raised(use, bucket)
        assert isinstance(error, SourceUnreadable)
        assert "S3_ENDPOINT_URL" in str(error)


@each_use
@pytest.mark.parametrize("name", ["", "a/b", "Not A Name", "../etc", "arn:aws:s3:::x"])
def test_a_malformed_name_is_said_to_be(s3: S3, use: Use, name: str) -> None:
    error = raised(use, s3.buckets().bucket(name))
    assert isinstance(error, SourceUnreadable)
    assert "S3_BUCKET" in str(error)
    assert not s3.requests


@pytest.mark.parametrize("body", [b"<html>Welcome.</html>", b"<p>Welcome", b"Welcome", b""])
def test_a_server_that_is_no_s3_is_not_an_empty_bucket(s3: S3, body: bytes) -> None:
    s3.faults.append(Fault("GET", status=200, body=body))
    error = raised(USES["objects"], s3.bucket("pictures", attempts=1))
    assert isinstance(error, (SourceUnreadable, SourceUnavailable))
    assert "S3_ENDPOINT_URL" in str(error)


@pytest.mark.parametrize(("key_id", "secret"), [(None, None), ("AKIATESTING", None)])
def test_missing_keys_are_said_to_be(
    s3: S3, monkeypatch: pytest.MonkeyPatch, key_id: str | None, secret: str | None
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    bucket = s3.buckets(access_key_id=key_id, secret_access_key=secret).bucket("pictures")
    with pytest.raises(SourceUnreadable, match="S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY"):
        list(bucket.objects())
    assert not s3.requests


def test_the_secret_is_not_shown() -> None:
    assert SECRET_ACCESS_KEY not in repr(Buckets(secret_access_key=SECRET_ACCESS_KEY).bucket("a"))


def test_what_its_first_bytes_refuse_is_not_read_to_its_end(s3: S3) -> None:
    """Issue 21, line 22: whoever reads on here meets the end of the connection."""
    s3.make("pictures")
    s3.put("pictures", "film.mp4", b"\0\0\0\x20ftypmp42".ljust(8 * CHUNK_BYTES))
    s3.faults.append(Fault("GET /pictures/film.mp4", broken_off=True))
    bucket = s3.buckets().bucket("pictures")
    with pytest.raises(ImageUnsupported, match="not a picture"):
        bucket.read("film.mp4", 200_000_000, check_signature)
    with pytest.raises(SourceUnavailable):
        bucket.read("film.mp4", 200_000_000)
