"""Real HTTP servers in threads of the test."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import uvicorn
from werkzeug.serving import make_server

# How often a server looks whether it has to end. By default it looks each 0.5 s or 0.1 s, and more than a
# thousand tests wait for that.
_LOOKS_EVERY_S: Final = 0.01


@contextmanager
def wsgi_server(app: Any, *, threaded: bool = True) -> Iterator[str]:
    """Serve a WSGI application, with a thread per request or one for all; yield its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=threaded)
    thread = threading.Thread(target=server.serve_forever, args=(_LOOKS_EVERY_S,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asgi_server(app: Any, **more: Any) -> AbstractContextManager[str]:
    """Serve an ASGI application; yield its URL. `more` are further options of uvicorn."""
    settings = {"port": 0, "log_level": "error", "lifespan": "off", "timeout_graceful_shutdown": 1, **more}
    return _running(uvicorn.Config(app, **settings))


class _Uvicorn(uvicorn.Server):
    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110 (another thread ends it)
            await asyncio.sleep(_LOOKS_EVERY_S)


@contextmanager
def _running(config: uvicorn.Config) -> Iterator[str]:
    server = _Uvicorn(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        [listening] = server.servers
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
