"""`picture-search`, as far as it needs no server (issue 20: a package and a command)."""

import json
import sys

import pytest
from fastapi.testclient import TestClient

from app import VERSION
from app.runtime.services import Services
from scripts.command_line import exit_status
from scripts.commands import commands

NAMES = (
    *("serve", "ingest", "sync", "search", "similar", "upload", "worker", "doctor", "backup"),
    *("restore", "export", "import", "keys", "models", "migrate", "openapi", "reindex"),
)


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["/somewhere/picture-search", *arguments])
    return exit_status(commands)


@pytest.mark.parametrize("name", NAMES)
def test_each_command_says_how_it_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, name, "--help") == 0
    assert f" {name} [OPTIONS] " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["search"], ["search", "a tree", "--limit", "0"], ["seek"], ["upload", "/none"]]
)
def test_a_call_that_cannot_be_understood_ends_with_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, *arguments) == 2
    assert "Usage: " in capsys.readouterr().err


def test_it_says_its_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"picture-search {VERSION}\n"


def test_openapi_prints_the_document_of_the_server(
    services: Services,
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TESTING", "1")
    assert called(monkeypatch, "openapi") == 0
    assert json.loads(capsys.readouterr().out) == client.get("/openapi.json").json()


def test_models_list_names_those_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLIP_MODEL", "best")
    monkeypatch.setenv("COLLECTION_MODELS", "ViT-B-16@openai")
    assert called(monkeypatch, "models", "list") == 0
    shown = capsys.readouterr().out
    assert "The settings name ViT-B-32-SigLIP2-256@webli." in shown
    assert "Collections may also use ViT-B-16@openai." in shown
