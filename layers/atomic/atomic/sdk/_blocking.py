"""The blocking transport, on requests."""

from typing import Final

import requests
from requests.adapters import HTTPAdapter

from atomic.sdk._http import HttpRequest, HttpResponse
from atomic.sdk._settings import ApiTarget, ca_file, proxy_of
from atomic.sdk._world import came, lost

_CONNECT_S: Final = 5.0
_CONNECTIONS_KEPT: Final = 64


class Connections:
    """Connections to one Atomic, kept between requests."""

    def __init__(self, connection: ApiTarget) -> None:
        self._url = connection.url
        self._session = requests.Session()
        # By itself it takes a key from ~/.netrc, and proxies for this machine, too.
        self._session.trust_env = False
        if connection.api_key:
            self._session.headers["Authorization"] = f"Bearer {connection.api_key}"
        if proxy := proxy_of(connection.url):
            self._session.proxies = {"http": proxy, "https": proxy}
        self._session.verify = ca_file() or True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS_KEPT))

    def close(self) -> None:
        """Close them."""
        self._session.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Make one request. Raises ValueError when the URL is none; what fails on the way is an answer."""
        url = self._url + request.target
        timeout = (_CONNECT_S, request.timeout_s)
        try:
            answer = self._session.request(
                request.method,
                url,
                data=request.body or None,
                headers=dict(request.headers),
                timeout=timeout,
                allow_redirects=False,
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as wrong:
            raise ValueError(f"ATOMIC_URL {url!r} is no URL: {wrong}") from None
        except requests.RequestException as error:
            return lost(self._url, error)
        return came(self._url, answer.status_code, answer.headers, answer.content)
