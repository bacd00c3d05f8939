"""What only `atomic serve --dev` has: the routes `/_dev/*`, with which tests lead a server.

They need no client and no key. Elsewhere these paths do not exist.
"""

from functools import partial
from typing import Any

from atomic.entrypoints.embedded.wiring import Server
from atomic.entrypoints.http_api.api import Api, Table, answer
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import Routes
from atomic.entrypoints.http_api.routes import ROUTES
from atomic.entrypoints.http_api.views import json_response
from atomic.protocol.wire import to_rfc3339


class Development:
    """Adds the routes to a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        routes = Routes()
        routes.add("GET", "/_dev/time", None)(self.get_time)
        server.app.answer = partial(answer, Table((*ROUTES, *routes)))

    async def get_time(self, _api: Api, _request: ApiRequest) -> ApiResponse:
        """What time it is for the engine."""
        return json_response(200, self._time())

    def _time(self) -> dict[str, Any]:
        is_virtual = self._server.virtual_clock is not None
        return {"virtual": is_virtual, "now": to_rfc3339(self._server.engine.clock.now_ms())}
