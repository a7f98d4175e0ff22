"""What is held while it is used goes once it is idle, and never from under its user."""

from app.encoders.held_while_used import HeldWhileUsed


def test_it_goes_once_idle_and_not_while_it_is_used() -> None:
    ended: list[str] = []
    held = HeldWhileUsed(ended.append)
    held.drop_if_idle(0.0)
    assert ended == []
    with held.use():
        held.value = "model"
        held.drop_if_idle(0.0)
        assert held.value == "model"
    held.drop_if_idle(60.0)
    assert held.value == "model"
    held.drop_if_idle(0.0)
    assert ended == ["model"]
    with held.use():
        assert not held.value


def test_its_user_may_give_it_up() -> None:
    ended: list[str] = []
    held = HeldWhileUsed(ended.append)
    with held.use():
        held.value = "broken"
        held.drop()
        held.drop()
        held.value = "whole"
    assert (held.value, ended) == ("whole", ["broken"])
