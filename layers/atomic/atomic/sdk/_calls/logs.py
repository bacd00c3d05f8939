"""The logger of workflows: it leaves out what an earlier attempt has logged."""

import logging
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from atomic.sdk._calls.call import Call

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class WorkflowLogger(_Adapter):
    """Logs as `atomic.workflow`, with the ids of a call, except while `is_silent` says so."""

    def __init__(self, call: Call, *, is_silent: Callable[[], bool]) -> None:
        about = {
            "run_id": call.run_id,
            "step_id": call.step_id,
            "workflow_name": call.workflow_name,
            "attempt": call.attempt,
        }
        super().__init__(logging.getLogger("atomic.workflow"), about)
        self._is_silent = is_silent

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - a method of the standard library
        """Whether a record of this level is logged now."""
        return super().isEnabledFor(level) and not self._is_silent()

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the ids to the record, beside the `extra` of the caller."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}
