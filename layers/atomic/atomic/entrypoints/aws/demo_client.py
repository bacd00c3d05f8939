"""Makes the client of a stack's demo when CloudFormation asks for it (a custom resource)."""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

import urllib3

from atomic.adapters.aws import config
from atomic.adapters.aws.client_store import DynamoClientStore
from atomic.adapters.system import SystemClock, SystemEntropy
from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients.quota import Quota
from atomic.entrypoints.aws.logs import InvocationFailed, log_as_json
from atomic.entrypoints.aws.settings import DemoClientSettings

_log: Final = logging.getLogger("atomic.demo")

CLIENT_ID: Final = "atomic-demo"
# Anybody can call the demo, so it may use only a little of the stack.
_QUOTA: Final = Quota(starts_per_second=10, live_steps=100)


class DemoClientFunction:
    """The Lambda handler of the custom resource. It always answers CloudFormation, which waits for it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        settings = DemoClientSettings.of_environment(environ)
        log_as_json(settings)
        self._dynamodb = config.dynamodb_client()
        self._admin = ClientAdmin(
            store=DynamoClientStore(self._dynamodb, settings.table),
            pepper=settings.key_pepper.encode(),
            now_ms=SystemClock().now_ms,
            token_bytes=SystemEntropy().token_bytes,
        )

    def __call__(self, event: Mapping[str, Any], _context: Any) -> None:
        """Make the client with a new key, or end its keys. Raises InvocationFailed and nothing else."""
        answer: dict[str, Any] = {
            "PhysicalResourceId": CLIENT_ID,
            **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
        }
        try:
            if event["RequestType"] == "Delete":
                self._end_keys()
                answer["Status"] = "SUCCESS"
            else:
                answer |= {"Status": "SUCCESS", "NoEcho": True, "Data": self._made(event)}
        except Exception as error:
            _log.exception("the demo's client was not made")
            # The keys of a demo that could not be ended must not keep a stack from being deleted.
            done = event["RequestType"] == "Delete"
            answer |= {"Status": "SUCCESS" if done else "FAILED", "Reason": type(error).__name__}
        try:
            body = json.dumps(answer).encode()
            urllib3.request("PUT", event["ResponseURL"], body=body, timeout=10, retries=3)
        except urllib3.exceptions.HTTPError as error:
            # Its text has the URL, by which anybody can answer CloudFormation.
            _log.exception("CloudFormation did not take the answer")
            raise InvocationFailed(type(error).__name__) from None

    def close(self) -> None:
        """Close the connections. Lambda never calls this; tests do."""
        self._dynamodb.close()

    def _made(self, event: Mapping[str, Any]) -> dict[str, str]:
        """The client with a new key: of an old one only the hash is stored."""
        base_urls = [event["ResourceProperties"]["BaseUrl"]]
        record = self._admin.store.load(CLIENT_ID)
        if record is None:
            api_key, secret = self._admin.create(
                CLIENT_ID, base_urls=base_urls, quota=_QUOTA, scopes=("start",)
            )
        else:
            self._end_keys()
            self._admin.change(CLIENT_ID, base_urls=base_urls)
            api_key, _ = self._admin.add_key(CLIENT_ID, scopes=("start",))
            secret = record.secrets[-1].text
        return {"ClientId": CLIENT_ID, "ApiKey": api_key, "SigningSecret": secret}

    def _end_keys(self) -> None:
        record = self._admin.store.load(CLIENT_ID)
        for key in () if record is None else record.keys:
            self._admin.revoke_key(CLIENT_ID, key.id)
