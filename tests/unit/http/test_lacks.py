"""A lack of local resources is not the endpoint's failure."""

import errno
import os
import resource
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from atomic.adapters.http import names
from atomic.adapters.http.gate import FAILURES_MAX, NotDialled
from atomic.adapters.http.lacks import own_lack
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.protocol.error_kinds import ErrorKind
from unit.http.raw_server import OK, invoking, keeps_writing, post, serving

Run = Callable[[Coroutine[Any, Any, Any]], Any]
NO_FILES = EndpointResponse(
    not_made=NotMade(StepError(ErrorKind.RESOURCES_EXHAUSTED, "Too many open files"))
)


@contextmanager
def no_more_files() -> Iterator[None]:
    """Use up all file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_without_file_descriptors_no_attempt_is_made_and_no_failure_counted(run: Run, host: str) -> None:
    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            url = f"http://{host}:{server.port}/"
            with no_more_files():
                for _ in range(FAILURES_MAX + 9):
                    assert await post(invoker, url) == NO_FILES
            # The origin's gate has not counted a failure.
            assert (await post(invoker, url)).status == 200

    run(body())


@pytest.mark.parametrize("lack", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_lacks(lack: int) -> None:
    with pytest.raises(NotDialled, match=os.strerror(lack)), own_lack():
        raise OSError(lack, "whatever")


@pytest.mark.parametrize(
    "failure", [OSError(errno.ECONNREFUSED, "refused"), RuntimeError("the loop is closed"), ValueError()]
)
def test_what_is_no_lack_stays_what_it_is(failure: Exception) -> None:
    with pytest.raises(type(failure)) as raised, own_lack():
        raise failure
    assert raised.value is failure


def test_without_threads_no_name_is_looked_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def body() -> None:
        async with serving(keeps_writing(OK)) as server, invoking() as invoker:
            url = f"http://localhost:{server.port}/"
            with monkeypatch.context() as patching:
                patching.setattr(threading.Thread, "start", start)
                answer = await post(invoker, url)
            assert answer == EndpointResponse(
                not_made=NotMade(StepError(ErrorKind.RESOURCES_EXHAUSTED, "no more threads"))
            )
            assert (await post(invoker, url)).status == 200

    run(body())


def test_where_there_is_no_room_for_a_look_up_the_attempt_is_not_made(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_AT_ONCE", 1)
    monkeypatch.setattr(names, "_ROOM_S", 0.05)
    answered = threading.Event()
    monkeypatch.setattr(names, "getaddrinfo", lambda *_, **__: answered.wait(20) and [])

    async def body() -> None:
        async with invoking() as invoker:
            silent = await post(invoker, "http://silent.test/", timeout_ms=50)
            other = await post(invoker, "http://other.test/", timeout_ms=5000)
            answered.set()
        assert str(silent.error) == "timeout: no connection within 50 ms"
        error = StepError(ErrorKind.RESOURCES_EXHAUSTED, "1 names are being looked up")
        assert other == EndpointResponse(not_made=NotMade(error))

    run(body())
