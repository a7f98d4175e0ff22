"""The parts of the rehearsal of a swap: it must see what it looks for (issue 18)."""

import random
from dataclasses import replace

import pytest

from app.encoders.resident_model import ResidentModel
from app.runtime.services import Services
from scripts.rehearsal.clients import TEXTS, Balancer, Reply, RequestFailed, in_other_letters
from scripts.rehearsal.outcome import mixed, p95_ms, seconds_until_all_follow

REPLY = Reply(10.0, 0.5, "idle", 0, "a cat", 1, "demo", {5: 0.71, 6: 0.68})
REFERENCES = {(1, "a cat"): {5: 0.71, 6: 0.68, 7: 0.2}, (2, "a cat"): {5: 0.61, 6: 0.58}}
LATER = replace(REPLY, hits={8: 0.9, 5: 0.71})  # 8 came after the reference
OTHER = replace(REPLY, index_id=2, fingerprint="other", hits={5: 0.61})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(REPLY, hits={5: 0.1, 6: 0.68}), "a score is 0.610 off"),
        (replace(OTHER, hits=REPLY.hits), "a score is 0.100 off"),
        (replace(REPLY, fingerprint="other"), "two fingerprints"),
        (replace(REPLY, hits={8: 0.9}), "nothing to compare with"),
    ],
)
def test_a_mixed_answer_is_found(wrong: Reply, said: str) -> None:
    right = [REPLY, LATER, OTHER]
    assert mixed(right, REFERENCES) == []
    (found,) = mixed([*right, wrong], REFERENCES)
    assert said in found


def test_how_long_a_server_uses_the_former_generation() -> None:
    replies = [OTHER, replace(REPLY, began=11.5), replace(OTHER, began=12.0)]
    assert seconds_until_all_follow(replies, 10.5, 2) == 1.0
    assert seconds_until_all_follow([OTHER], 10.5, 2) == 0.0
    assert p95_ms([REPLY], "idle") == 500


def test_other_letters_are_the_same_query(services: Services) -> None:
    """Else the scores of searches that no cache knows could not be compared."""
    encoder: ResidentModel = services.encoder
    for text in TEXTS:
        other = in_other_letters(text, random.Random(1))
        assert other != text
        one, another = encoder.encode_texts([text, other])
        assert one @ another == pytest.approx(1, abs=1e-5)


def test_a_server_that_was_not_killed_may_not_fail() -> None:
    balancer = Balancer([1])  # nobody listens there
    with pytest.raises(RequestFailed, match="GET /readyz"):
        balancer.get("/readyz")
    assert balancer.repeated == 0
