"""What tests of encoders share."""

import pytest


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast a variant is matters to none of these tests: each round takes one run of it."""
    monkeypatch.setattr("app.encoders.timing.ROUND_SECONDS", 0.0)
