"""Endpoints on FastAPI: `Endpoints(app, "/orders")`, or `@app.post(…)` above `@workflow` or `@step`.

FastAPI is built on Starlette, so the views are those of `atomic.sdk.starlette`.
"""

from typing import TYPE_CHECKING

from atomic.sdk._calls.call import Call
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.endpoints import MountedEndpoints, named_view
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context
from atomic.sdk.starlette import step, view_of, workflow

if TYPE_CHECKING:
    # The application brings FastAPI; nothing here needs it.
    from fastapi import APIRouter, FastAPI

    App = FastAPI | APIRouter

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]


class Endpoints(MountedEndpoints["App"]):
    """Serves functions on FastAPI: POST {prefix}/{name of the function}.

    - `app`: the FastAPI application or the APIRouter.
    - `prefix`: the part of the path before the names of the functions (default: empty).
    - `steps`: functions from elsewhere that are served as steps, too (default: none).
    - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
      steps of a workflow (default: one that takes its settings from the environment).
    - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a call
      (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
    - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that Atomic
      signed, else what the request shows).
    - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
      suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on Lambda).
    - `build`: which build of the application this is, as its commit; up to 64 characters (default:
      ATOMIC_BUILD, else none).
    - `hooks`: objects that are told of calls, operations and attempts, as `Hooks` (default: none).
    - `codec`: a `Codec` for payloads, results and values (default: that of `client`, else none).

    A decorator may give one function other options. The constructor raises the errors of `step`.
    """

    def _add(self, path: str, endpoint: Endpoint) -> None:
        self._app.add_api_route(f"/{path}", named_view(view_of, endpoint), methods=["POST"], name=path)
