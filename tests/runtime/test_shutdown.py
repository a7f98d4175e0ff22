"""What works in the background ends with the services, before their connections are closed."""

import threading
from concurrent.futures import ThreadPoolExecutor

from app.runtime.assembly import open_services
from app.runtime.shutdown import closing_soon
from app.settings import Settings


def test_tasks_under_way_end_before_the_pool_does() -> None:
    told, ended = threading.Event(), threading.Event()

    def work() -> None:
        told.wait()
        ended.set()

    with closing_soon(ThreadPoolExecutor(1)) as pool:
        under_way, waiting = pool.submit(work), pool.submit(work)
        told.set()
    assert ended.is_set()
    assert under_way.done()
    assert waiting.done()


def test_a_task_that_hangs_is_left_behind() -> None:
    told = threading.Event()
    with closing_soon(ThreadPoolExecutor(1)) as pool:
        hanging = pool.submit(told.wait)
    assert hanging.running()
    told.set()


def test_the_background_is_told_when_the_services_close(settings: Settings) -> None:
    with open_services(settings) as services:
        assert not services.worker.interrupt.is_set()
    assert services.worker.interrupt.is_set()
