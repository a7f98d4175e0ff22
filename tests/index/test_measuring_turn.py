"""Measurements of recall go one at a time, and one that nobody asked for gives way."""

import threading
import time

import pytest

from app.errors import Busy, Interrupted
from app.index import measuring_turn
from app.index.measuring_turn import MeasuringTurn


def test_one_that_gives_way_ends_at_its_next_step_for_one_that_waits() -> None:
    turn, began, ended = MeasuringTurn(), threading.Event(), threading.Event()

    def measure() -> None:
        with turn.taken(gives_way=True):
            while True:
                turn.give_way()
                began.set()
                time.sleep(0.01)

    def end() -> None:
        with pytest.raises(Interrupted):
            measure()
        ended.set()

    threading.Thread(target=end, daemon=True).start()
    assert began.wait(10)
    with turn.taken():
        turn.give_way()  # nobody waits any more
        assert ended.wait(10)


def test_it_is_not_waited_for_longer_than_for_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring_turn, "GIVE_WAY_SECONDS", 0.05)
    turn = MeasuringTurn()
    with (
        turn.taken(gives_way=True),
        pytest.raises(Busy, match="tuning a graph by itself"),
        turn.taken(),
    ):
        pass
    with turn.taken():
        pass


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, True)])
def test_no_other_is_waited_for(first: bool, second: bool) -> None:
    turn, began = MeasuringTurn(), time.monotonic()
    with (
        turn.taken(gives_way=first),
        pytest.raises(Busy, match="already"),
        turn.taken(gives_way=second),
    ):
        pass
    assert time.monotonic() - began < measuring_turn.GIVE_WAY_SECONDS
