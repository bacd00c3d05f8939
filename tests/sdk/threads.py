"""Real HTTP servers in threads of the test."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import uvicorn
from werkzeug.serving import make_server


@contextmanager
def wsgi_server(app: Any, *, threaded: bool = True) -> Iterator[str]:
    """Serve a WSGI application, with a thread per request or one for all; yield its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=threaded)
    thread = threading.Thread(target=server.serve_forever)
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


@contextmanager
def _running(config: uvicorn.Config) -> Iterator[str]:
    server = uvicorn.Server(config)
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
