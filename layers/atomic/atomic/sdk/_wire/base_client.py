"""What both clients have in common: their settings."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, TypeVar

from atomic.protocol import keys
from atomic.protocol.documents import RunSummary, StepOutcome
from atomic.sdk._wire.api import Key, key_text
from atomic.sdk._wire.codecs import Codec, Coder
from atomic.sdk._wire.encodings import Encodings
from atomic.sdk._wire.iam import Auth, signer_of
from atomic.sdk._wire.restarts import restart
from atomic.sdk._wire.transport import Flow, connection
from atomic.sdk._wire.values import jsonable
from atomic.sdk.retry import Seconds, seconds

Outcome = TypeVar("Outcome", bound=StepOutcome)


def _has_no_result(step: StepOutcome) -> bool:
    """Whether a run has succeeded without a result, because it went on as another one."""
    return step.continued_as is not None and step.kind != "run"


class BaseClient(ABC):
    """The settings of both clients: the server, the client id and key, and the patience. See `Client`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        client_id: str | None = None,
        api_key: str | None = None,
        patience: Seconds = 30.0,
        codec: Codec | None = None,
        auth: Auth | None = None,
    ) -> None:
        target = connection(url, client_id, api_key)
        sign = signer_of(auth, target.url)
        # Both would be the header Authorization.
        self.connection = target if sign is None else replace(target, api_key="", sign=sign)
        self.client_id = self.connection.client_id
        self.patience_s = seconds(patience)
        self.codec = codec
        self._coder = Coder(codec)
        self._open()

    def _written(self, payload: Any, workflow_name: str, key: Key) -> Encodings:
        """The payload of a new run, as it is stored."""
        what = f"the payload of workflow {workflow_name!r}"
        return self._coder.payload(jsonable(payload, what), self._root_id(workflow_name, key), what)

    def _restart(self, run_id: str, payload: Any, key: Key | None, url: str | None) -> Flow[RunSummary]:
        """The restart of a run."""
        coder = None if self.codec is None else self._coder
        return restart(self.client_id, run_id, coder, self.patience_s, payload=payload, key=key, url=url)

    def _event_result(self, result: Any, step_id: str) -> Encodings:
        """The result of an event as it is stored; `step_id` is any step of its run."""
        what = "the result of the event"
        return self._coder.result(jsonable(result, what), step_id, "event", what)

    def _root_id(self, workflow_name: str, key: Key) -> str:
        return keys.root_of(keys.run_id(self.client_id, workflow_name, key_text(key)))

    def _read(self, step: Outcome) -> Outcome:
        """A step with its response decoded. Only the result of a step that has succeeded is encoded."""
        if self.codec is None or step.status != "succeeded" or _has_no_result(step):
            return step
        # The response of a step that starts a run was made by the root of the run, or of the last one.
        of_run = keys.root_of(step.child_run_id) if step.child_run_id else step.id
        made_by = step.continued_as or of_run
        response = self._coder.read_result(step.response, made_by, step.kind, "the response")
        return step.model_copy(update={"response": response})

    @abstractmethod
    def _open(self) -> None:
        """Prepare the connections for requests."""
