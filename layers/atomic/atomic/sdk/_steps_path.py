"""Where a handler posts its steps."""

from functools import lru_cache
from urllib.parse import quote

from atomic.protocol import headers
from atomic.protocol.urls import parse_url
from atomic.sdk._transport import ApiTarget, StepsPath


def steps_path(connection: ApiTarget, steps_url: str, token: str, trace: str, build: str) -> StepsPath:
    """The target and the headers of a handler's posts: the attempt token, the trace and the build."""
    given = {headers.ATTEMPT_TOKEN: token, headers.TRACEPARENT: trace, headers.BUILD: build}
    target = steps_target(connection, steps_url)
    return StepsPath(target, {name: value for name, value in given.items() if value})


@lru_cache(maxsize=256)
def steps_target(connection: ApiTarget, steps_url: str) -> str:
    """The target of a handler's posts: `steps_url` if the configured server has it, else the client's path.

    Any caller can write the header with `steps_url`, and each post contains the API key.
    """
    own = f"/{quote(connection.client_id)}/steps"
    try:
        configured, given = parse_url(connection.url), parse_url(steps_url)
    except ValueError:
        return own
    is_own = configured[:3] == given[:3] and given.target.endswith(own) and "?" not in given.target
    return steps_url if is_own else own
