"""What the Python client sends, and what it makes of a deletion that it sends again."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from picture_search_client import ApiError, AsyncClient, Client

ABSENT = {"title": "Not found", "status": 404, "code": "image_not_found", "detail": "No image 7."}
Respond = Callable[[httpx.Request], httpx.Response]


def gone(_request: httpx.Request | None = None) -> httpx.Response:
    return httpx.Response(404, json=ABSENT)


def away(_request: httpx.Request | None = None) -> httpx.Response:
    return httpx.Response(502, headers={"Retry-After": "0"})


def connected(respond: Respond) -> Client:
    transport = httpx.MockTransport(respond)
    return Client(http=httpx.Client(transport=transport, base_url="http://service"))


def one_after_another(
    *answers: httpx.Response, asked: list[httpx.Request] | None = None
) -> Respond:
    """These answers to as many requests, which are noted in `asked`."""
    left = list(answers)

    def respond(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        return left.pop(0)

    return respond


def test_a_deletion_whose_answer_was_lost_is_done() -> None:
    asked: list[httpx.Request] = []
    with connected(one_after_another(away(), gone(), asked=asked)) as client:
        client.delete(7)
    assert [request.method for request in asked] == ["DELETE", "DELETE"]


def test_the_client_with_an_event_loop_takes_it_for_done_too() -> None:
    asked: list[httpx.Request] = []

    async def run() -> None:
        transport = httpx.MockTransport(one_after_another(away(), gone(), asked=asked))
        http = httpx.AsyncClient(transport=transport, base_url="http://service")
        async with AsyncClient(http=http) as client:
            await client.delete(7)

    asyncio.run(run())
    assert [request.method for request in asked] == ["DELETE", "DELETE"]


def test_a_deletion_that_finds_nothing_at_once_is_refused() -> None:
    with connected(gone) as client, pytest.raises(ApiError, match="image_not_found"):
        client.delete(7)


def test_a_404_of_a_proxy_does_not_say_that_a_picture_is_deleted() -> None:
    lost = one_after_another(away(), httpx.Response(404, text="default backend"))
    with connected(lost) as client, pytest.raises(ApiError, match="404"):
        client.delete(7)


def test_what_else_is_not_found_at_a_further_attempt_is_refused() -> None:
    with connected(one_after_another(away(), gone())) as client, pytest.raises(ApiError):
        client.image(7)


@pytest.mark.parametrize("given", [{"width": {"gte": 300}}, '{"width": {"gte": 300}}'])
def test_a_filter_is_sent_as_json(given: object) -> None:
    sent: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.params["filter"])
        return gone()

    with connected(refuse) as client:
        for asked in (lambda: client.similar(7, filter=given),
                      lambda: list(client.images(filter=given))):  # fmt: skip
            with pytest.raises(ApiError):
                asked()
    assert [json.loads(one) for one in sent] == [{"width": {"gte": 300}}] * 2
