"""The page as it is served: in which language, with what for caches, and nothing else."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.web import page
from app.web.map_tiles import MapTiles
from app.web.page import FOLDER, POLICY, chosen_language, policy

# --- which language


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "zh", "zh"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "en-GB,en;q=0.9,zh;q=0.8", "en"),
        (None, "en;q=0.1, zh;q=0.2", "zh"),
        (None, "ZH-hans-CN ; Q=0.7 , EN ; q=0.6", "zh"),
        (None, "zh, en", "zh"),
        (None, "en, zh", "en"),
        (None, "sv, fr;q=0.5", "en"),
        (None, "sv, fr;q=0.5, zh;q=0.1", "zh"),
        (None, "*", "en"),
        (None, "en;q=0.2, *;q=0.5", "de"),
        (None, "zh;q=0", "en"),
        (None, "zh;q=0, *", "en"),
        (None, "en;q=0, *;q=0.1", "de"),
        (None, "en;q=0, zh;q=0", "en"),
        ("zh", "en", "zh"),
        ("en", "zh", "en"),
        ("sv", "zh", "zh"),
        (None, "de-AT, en;q=0.5", "de"),
        ("ZH", None, "en"),
        ("zh; drop", None, "en"),
    ],
)
def test_the_language_is_the_switchs_or_the_browsers(
    cookie: str | None, accepted: str | None, language: str
) -> None:
    assert chosen_language(cookie, accepted) == language


HOSTILE = [
    "zh;q=nan",
    "zh;q=1e400",
    "zh;q=-1",
    "zh;q=2",
    "zh;q=",
    "zh;q",
    "zh;q=0.0.1",
    ";;;,,,=;q=1",
    "zh;q=0x1",
    "zh_CN",
    "<script>alert(1)</script>",
    "zz," * 20_000,
    "zz," * 50 + "zh",
    "-" * 60_000,
    "\x00\x7f",
    "../../zh",
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_language_is_english(value: str) -> None:
    if value != "zh;q":  # a parameter without a value is none of quality
        assert chosen_language(None, value) == "en"
    assert chosen_language(value, None) == "en"


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": 'language="zh'},
        {"Cookie": "language=<script>alert(1)</script>; language=" + "x" * 4_000},
        {"Cookie": "=;=;;language"},
        {"Cookie": b"language=\xff\xfe"},
        {"Accept-Language": b"\xff\xfe;q=\x80"},
        {"Accept-Language": "<img src=x onerror=alert(1)>"},
        {"If-None-Match": '"' * 5_000},
    ],
)
def test_hostile_headers_are_answered_and_never_repeated(
    client: TestClient, headers: dict[str, Any]
) -> None:
    answer = client.get("/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-language"] == "en"
    assert answer.content == client.get("/").content


@pytest.mark.parametrize(("language", "tag"), [("en", "en"), ("zh", "zh-Hans"), ("de", "de")])
def test_the_document_says_its_language(client: TestClient, language: str, tag: str) -> None:
    for headers in ({"Cookie": f"language={language}"}, {"Accept-Language": language}):
        answer = client.get("/", headers=headers)
        assert f'<html lang="{tag}"' in answer.text
        assert answer.headers["content-language"] == tag


# --- headers


def test_the_documents_headers(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "Accept-Language, Cookie"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "set-cookie" not in answer.headers


def test_the_policy_lets_nothing_inline_nothing_foreign_and_no_markup_from_text() -> None:
    rules = dict(rule.partition(" ")[::2] for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert rules["trusted-types"] == "'none'"
    assert {*rules["script-src"].split(), *rules["style-src"].split()} == {"'self'"}
    assert rules["connect-src"] == "'self'"
    assert rules["img-src"] == "'self' blob:"
    for word in ("unsafe", "http:", "https:", "data:", "*"):
        assert word not in POLICY


def test_the_policy_lets_in_the_origin_of_a_maps_tiles_and_no_more() -> None:
    tiles = MapTiles("https://tiles.example.com:8443/a/{z}/{x}/{y}.png?key=b", "")
    opened = policy(tiles).replace(" https://tiles.example.com:8443;", ";")
    assert opened == POLICY == policy(None)
    assert "img-src 'self' blob: https://tiles.example.com:8443;" in policy(tiles)


def test_a_document_that_is_known_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/")
    etag = first.headers["etag"]
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get("/", headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control", "vary", "content-security-policy"):
            assert again.headers[name] == first.headers[name]
    for sent in ('"other"', etag[1:-1], ""):
        assert client.get("/", headers={"If-None-Match": sent}).status_code == 200
    other = client.get("/", headers={"If-None-Match": etag, "Accept-Language": "zh"})
    assert other.status_code == 200
    assert other.headers["etag"] != etag


def test_head_tells_what_get_would(client: TestClient) -> None:
    for address in ("/", f"/static/{page.site().version}/style.css"):
        assert client.head(address).status_code == 200
        assert client.head(address).headers["cache-control"] != "no-store"


def test_the_page_is_not_in_the_apis_document(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/static")]


# --- files


def test_a_file_of_this_version_never_changes(client: TestClient) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    site = page.site()
    assert len(site.files) > 5
    for name, data in site.files.items():
        answer = client.get(f"/static/{site.version}/{name}")
        assert answer.content == data
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith(kinds[name[name.rindex(".") :]])
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_file_of_texts_alone_adds_a_language(tmp_path: Path) -> None:
    """Issue 19, item 18. What it lacks is said in English."""
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    before = page.read_site(tmp_path)
    texts = {"language": "sv", "language_name": "Svenska", "view_search": "Sök"}
    (tmp_path / "texts" / "sv.json").write_text(json.dumps(texts), encoding="utf-8")
    after = page.read_site(tmp_path)
    assert set(after.documents) == {*before.documents, "sv"}
    assert after.documents["sv"].tag == "sv"
    swedish = after.documents["sv"].body.decode()
    assert '<html lang="sv">' in swedish
    assert '<option value="sv" lang="sv" selected>Svenska</option>' in swedish
    assert 'data-view="search">Sök</a>' in swedish
    assert 'data-view="add">Add</a>' in swedish
    for document in after.documents.values():  # each offers it
        assert 'lang="sv"' in document.body.decode()
    assert after.version == before.version  # of the other files


def test_a_change_of_any_file_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    texts = {"language": "en", "language_name": "English", "greeting": '<Hi> & "you"'}
    (tmp_path / "texts" / "en.json").write_text(json.dumps(texts))
    (tmp_path / "index.html").write_text('<p title="${greeting}">${base}</p>${texts}')
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "b.js").write_text("2")
    first = page.read_site(tmp_path)
    body = first.documents["en"].body.decode()
    assert '<p title="&lt;Hi&gt; &amp; &quot;you&quot;">' in body
    assert r'"greeting":"\u003cHi\u003e \u0026 \"you\""}' in body
    (tmp_path / "a.js").write_text("12")
    (tmp_path / "b.js").write_text("")
    second = page.read_site(tmp_path)
    assert second.version != first.version
    assert second.documents["en"].etag != first.documents["en"].etag
    (tmp_path / "index.html").write_text("${absent}")
    with pytest.raises(KeyError):
        page.read_site(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "/static",
        "/static/",
        "/static/{version}",
        "/static/{version}/",
        "/static/{version}/absent.js",
        "/static/{version}/index.html",
        "/static/{version}/texts/en.json",
        "/static/{version}/en.json",
        "/static/0000000000000000/style.css",
        "/static/{version}/../page.py",
        "/static/{version}/%2e%2e/page.py",
        "/static/{version}/..%2fpage.py",
        "/static/{version}/..%5cpage.py",
        "/static/{version}/%2fetc%2fpasswd",
        "/static/{version}/style.css%00.js",
        "/static/../app/web/page.py",
        "/static/{version}/STYLE.CSS",
        "/static/{version}/" + "a" * 5_000 + ".js",
    ],
)
def test_anything_else_is_a_problem(client: TestClient, path: str) -> None:
    answer = client.get(path.format(version=page.site().version))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"


def test_the_page_names_no_address_from_the_root() -> None:
    """Issue 21, line 37: it may lie below a prefix of a proxy's."""
    document = page.site().documents["en"].body.decode()
    assert not re.findall(r'(?:href|src|action)="/', document)
    for name, data in page.site().files.items():
        assert not re.findall(r'(?:href|src)(?:: |=)["\'`]/', data.decode()), name
