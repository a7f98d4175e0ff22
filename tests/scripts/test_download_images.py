"""`make download-images` as a process, and what a kill, a fault or a hostile key does to it."""

import hashlib
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

from app.errors import EntryRefused, ResourceInUse, SourceUnavailable, SourceUnreadable, StartError
from app.settings import ROOT
from scripts.download_images import STATE, Copier, Paths, download, open_state
from tests.fixtures.process_environment import bare
from tests.fixtures.s3_server import S3, SECRET_ACCESS_KEY, Fault

PICTURES = 200
MANY = {f"{n % 10}/{n:03}.png": b"picture %d" % n * 50 for n in range(PICTURES)}
GET = "GET /pictures/"  # objects; a listing is GET /pictures?
WAIT_SECONDS = 60  # far more than it takes


def command(s3: S3, folder: Path, **settings: str) -> subprocess.Popen[str]:
    environment = bare(IMAGES_DIR=str(folder), **(s3.settings("pictures") | settings))
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.download_images"],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, standard output and error; neither a traceback nor the secret is in them."""
    out, err = process.communicate(timeout=WAIT_SECONDS)
    assert "Traceback" not in out + err
    assert SECRET_ACCESS_KEY not in out + err
    return process.returncode, out, err


def wait_for_gets(s3: S3, count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(s3.asked(GET)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def copied(folder: Path) -> dict[str, bytes]:
    """The files below, by their keys; the state is left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != STATE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def copy(s3: S3, folder: Path, prefix: str = "", most: float = inf, **options: float) -> Copier:
    return download(s3.bucket("pictures", **options), folder, prefix, most)


def counts(copier: Copier) -> tuple[int, int, int, int]:
    return copier.downloaded, copier.there, copier.refused, copier.failed


def test_killed_it_goes_on_where_it_was_and_a_third_run_fetches_nothing(
    s3: S3, tmp_path: Path
) -> None:
    s3.put_all("pictures", MANY)
    s3.faults.append(Fault(GET, delay_seconds=0.05))
    first = command(s3, tmp_path)
    wait_for_gets(s3, PICTURES // 2)
    first.kill()
    outcome(first)
    s3.faults.clear()
    (tmp_path / "3" / ".part-abcdefgh").write_bytes(b"half")
    with (tmp_path / STATE).open("a") as state:
        state.write('{"key": "9/199.png", "et')
    before = copied(tmp_path)
    missing = PICTURES - sum(before.get(key) == data for key, data in MANY.items())
    assert PICTURES // 4 < missing < PICTURES

    s3.requests.clear()
    status, out, err = outcome(command(s3, tmp_path))
    there = PICTURES - missing
    assert (status, out) == (
        0, f"{missing} downloaded, {there} already there, 0 refused, 0 failed.\n"
    )  # fmt: skip
    assert len(s3.asked(GET)) == missing
    assert copied(tmp_path) == MANY
    assert "Copying" in err

    s3.requests.clear()
    assert counts(copy(s3, tmp_path)) == (0, PICTURES, 0, 0)
    assert not s3.asked(GET)


def test_a_signal_ends_it_soon_and_leaves_no_part(s3: S3, tmp_path: Path) -> None:
    endings = {signal.SIGTERM: 143, signal.SIGINT: 130}
    processes = {}
    for number in endings:
        s3.put_all("pictures", {f"{number.name}/{n}.png": b"x" * 1_000_000 for n in range(20)})
        s3.faults += [
            Fault(f"{GET}{number.name}", times=3),
            Fault(f"{GET}{number.name}", times=2, broken_off=True, silent_seconds=WAIT_SECONDS),
            Fault(f"{GET}{number.name}", delay_seconds=WAIT_SECONDS),
        ]
        folder = tmp_path / number.name
        processes[number] = command(s3, folder, S3_PREFIX=f"{number.name}/")
    for number, process in processes.items():
        folder = tmp_path / number.name
        while len(list(folder.rglob("*.png"))) < 3 or len(list(folder.rglob(".part-*"))) < 2:
            assert process.poll() is None
            time.sleep(0.05)
    before = time.monotonic()
    for number, process in processes.items():
        process.send_signal(number)
    for number, process in processes.items():
        status, out, _ = outcome(process)
        assert time.monotonic() - before < 10
        assert status == endings[number]
        assert out == (
            "Stopped: 3 downloaded, 0 already there, 0 refused, 0 failed. "
            "Run again, it goes on from here.\n"
        )
    assert list(map(len, copied(tmp_path).values())) == [1_000_000] * 6
    assert not list(tmp_path.rglob(".part-*"))


def test_settings_that_are_missing_or_wrong(s3: S3, tmp_path: Path) -> None:
    status, out, err = outcome(command(s3, tmp_path, S3_BUCKET=""))
    assert (status, out) == (1, "")
    assert err == "Not copied: S3_BUCKET is not set: it names the bucket to copy from.\n"
    assert list(tmp_path.iterdir()) == []


def test_with_testing_it_copies_to_the_same_folder_and_says_what_failed(
    s3: S3, tmp_path: Path
) -> None:
    s3.put_all("pictures", {"in/a.jpg": b"1", "in/b.jpg": b"2", "in/c.jpg": b"3", "d.jpg": b"4"})
    s3.faults.append(Fault("GET /pictures/in/b.jpg", status=404, code="NoSuchKey"))
    settings = {"TESTING": "1", "TEST_IMAGES_DIR": str(tmp_path / "test"), "S3_PREFIX": "in/"}
    process = command(s3, tmp_path / "images", **settings, MAX_IMAGES="2")
    status, out, _ = outcome(process)
    assert status == 1
    assert out.splitlines() == [
        "Failed: in/b.jpg: in/b.jpg is gone.",
        "2 downloaded, 0 already there, 0 refused, 1 failed.",
    ]
    assert copied(tmp_path) == {
        "images/in/a.jpg": b"1", "images/in/c.jpg": b"3"
    }  # fmt: skip


def test_as_many_are_there_as_were_asked_for(s3: S3, tmp_path: Path) -> None:
    s3.put_all("pictures", MANY)
    assert counts(copy(s3, tmp_path, most=30)) == (30, 0, 0, 0)
    assert set(copied(tmp_path)) == set(sorted(MANY)[:30])
    assert counts(copy(s3, tmp_path, most=30)) == (0, 30, 0, 0)
    assert counts(copy(s3, tmp_path, most=45)) == (15, 30, 0, 0)
    assert len(s3.asked(GET)) == 45


def test_what_differs_in_etag_or_size_is_fetched_again(s3: S3, tmp_path: Path) -> None:
    s3.put_all("pictures", {"changed.jpg": b"old", "cut.jpg": b"whole", "same.jpg": b"same"})
    copy(s3, tmp_path)
    s3.put("pictures", "changed.jpg", b"new")
    (tmp_path / "cut.jpg").write_bytes(b"who")
    (tmp_path / "same.jpg").touch()
    assert counts(copy(s3, tmp_path)) == (2, 1, 0, 0)
    assert copied(tmp_path) == {
        "changed.jpg": b"new", "cut.jpg": b"whole", "same.jpg": b"same"
    }  # fmt: skip


def test_without_a_record_a_file_is_known_by_its_bytes(s3: S3, tmp_path: Path) -> None:
    s3.put_all("pictures", {"same.jpg": b"same", "other.jpg": b"1234"})
    (tmp_path / "same.jpg").write_bytes(b"same")
    (tmp_path / "other.jpg").write_bytes(b"5678")
    assert counts(copy(s3, tmp_path)) == (1, 1, 0, 0)
    assert len(s3.asked(GET)) == 1
    assert copied(tmp_path)["other.jpg"] == b"1234"
    assert counts(copy(s3, tmp_path)) == (0, 2, 0, 0)


@pytest.mark.parametrize("line", ["", "null", "[]", "{}", '"key"', '{"key": []}', "\x00", "é{"])
def test_a_state_that_makes_no_sense_is_passed_over(s3: S3, tmp_path: Path, line: str) -> None:
    s3.put("pictures", "a.jpg", b"1")
    copy(s3, tmp_path)
    known = (tmp_path / STATE).read_text()
    (tmp_path / STATE).write_text(f"{line}\n{known}{line}", encoding="latin-1")
    (tmp_path / "b.jpg").write_bytes(b"2")
    s3.put("pictures", "b.jpg", b"2")
    assert counts(copy(s3, tmp_path)) == (0, 2, 0, 0)
    assert len(s3.asked(GET)) == 1
    with open_state(tmp_path) as state:
        items = list(s3.bucket("pictures").objects())
        assert all(map(state.knows, items))


HOSTILE = (
    "/etc/a.jpg", "../a.jpg", "x/../../a.jpg", "x/./a.jpg", "x//a.jpg", "..", "x\\a.jpg",
    "x/new\nline.jpg", "x\x7f.jpg", "é" * 128 + "/a.jpg", "x" * 256, STATE, f"x/{STATE.upper()}",
    ".part-12345678", "x/.part-12345678/a.jpg",
)  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_that_is_no_path_is_refused_and_the_rest_goes_on(
    s3: S3, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep" / "images"
    s3.put_all("pictures", {key: b"evil", "fine/a b#ü.jpg": b"fine"})
    assert counts(copy(s3, folder)) == (1, 0, 1, 0)
    assert copied(tmp_path) == {"deep/images/fine/a b#ü.jpg": b"fine"}
    out = capsys.readouterr().out
    assert out.startswith(f"Refused: {key if key.isprintable() else ascii(key)}: ")
    assert out.count("\n") == 1
    assert len(s3.asked(GET)) == 1


def test_a_file_is_no_folder(s3: S3, tmp_path: Path) -> None:
    s3.put_all("pictures", {"a": b"1", "a-b": b"2", "a/b": b"3", "a/b/c": b"4", "f": b"5"})
    (tmp_path / "f").mkdir()
    for downloaded in (2, 0):
        assert counts(copy(s3, tmp_path)) == (downloaded, 2 - downloaded, 3, 0)
        assert copied(tmp_path) == {"a": b"1", "a-b": b"2"}


def test_no_link_leads_out_of_the_folder(s3: S3, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "images"
    outside.mkdir()
    folder.mkdir()
    (outside / "b.jpg").write_bytes(b"mine")
    (folder / "out").symlink_to(outside)
    (folder / "b.jpg").symlink_to(outside / "b.jpg")
    s3.put_all("pictures", {"out/a.jpg": b"1", "out/x/a.jpg": b"2", "b.jpg": b"3", "c.jpg": b"4"})
    assert counts(copy(s3, folder)) == (1, 0, 3, 0)
    assert copied(outside) == {"b.jpg": b"mine"}
    (folder / STATE).unlink()
    (folder / STATE).symlink_to(outside / "state")
    with pytest.raises(StartError, match="cannot be written"):
        copy(s3, folder)
    assert copied(outside) == {"b.jpg": b"mine"}


def test_keys_that_share_a_path_where_case_does_not_count(tmp_path: Path) -> None:
    paths = Paths(tmp_path, folds=True)
    assert paths.take("A/é.jpg") == tmp_path / "A" / "é.jpg"
    for key in ("a/e\u0301.JPG", "a/É.jpg/x"):
        with pytest.raises(EntryRefused):
            paths.take(key)
    both = Paths(tmp_path, folds=False)
    assert both.take("A.jpg") != both.take("a.jpg")


def test_one_that_fails_is_named_and_fetched_by_the_next_run(
    s3: S3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_all("pictures", {"a.jpg": b"12", "b.jpg": b"12", "c.jpg": b"12", "d/e.jpg": b"12"})
    s3.faults += [
        Fault(f"{GET}a.jpg", 1, status=404, code="NoSuchKey"),
        Fault(f"{GET}b.jpg", 1, status=500),
        Fault(f"{GET}c.jpg", 1, broken_off=True),
    ]
    assert counts(copy(s3, tmp_path, attempts=1)) == (1, 0, 0, 3)
    assert copied(tmp_path) == {"d/e.jpg": b"12"}
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split(":")[1] for line in lines] == [" a.jpg", " b.jpg", " c.jpg"]
    assert counts(copy(s3, tmp_path)) == (3, 1, 0, 0)


def test_a_listing_that_fails_keeps_what_was_copied(
    s3: S3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_all("pictures", {f"{n:04}.jpg": b"" for n in range(1001)})
    s3.faults.append(Fault("continuation-token", status=500))
    for number in range(1000):
        (tmp_path / f"{number:04}.jpg").touch()
    with pytest.raises(SourceUnavailable):
        copy(s3, tmp_path, attempts=1)
    assert capsys.readouterr().out == "0 downloaded, 1000 already there, 0 refused, 0 failed.\n"
    assert (tmp_path / STATE).read_bytes().count(b"\n") == 1000


def test_one_process_at_a_time(s3: S3, tmp_path: Path) -> None:
    s3.put("pictures", "a.jpg", b"1")
    with open_state(tmp_path), pytest.raises(ResourceInUse):
        copy(s3, tmp_path)
    assert counts(copy(s3, tmp_path)) == (1, 0, 0, 0)


def test_a_bucket_that_is_absent(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="There is no bucket nowhere"):
        download(s3.buckets().bucket("nowhere"), tmp_path, "", inf)


def test_the_folder_is_a_file(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(b"mine")
    with pytest.raises(
        StartError, match=r"images \(IMAGE_SEARCH_IMAGES_DIR\) cannot be written: File"
    ):
        copy(s3, tmp_path / "images")


def test_an_etag_of_parts_says_nothing_of_the_bytes(s3: S3, tmp_path: Path) -> None:
    """Objects uploaded in parts: without a record they are fetched, with one they are not."""
    s3.put("pictures", "a.jpg", b"")
    upload = s3.client.create_multipart_upload(Bucket="pictures", Key="a.jpg")["UploadId"]
    part = s3.client.upload_part(
        Bucket="pictures", Key="a.jpg", UploadId=upload, PartNumber=1, Body=b"part"
    )
    s3.client.complete_multipart_upload(
        Bucket="pictures", Key="a.jpg", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )  # fmt: skip
    (item,) = s3.bucket("pictures").objects()
    assert item.etag != hashlib.md5(b"part").hexdigest()
    (tmp_path / "a.jpg").write_bytes(b"part")
    assert counts(copy(s3, tmp_path)) == (1, 0, 0, 0)
    assert counts(copy(s3, tmp_path)) == (0, 1, 0, 0)
