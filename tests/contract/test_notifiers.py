"""The contract of notifiers: in one process, and where any process may settle a step."""

from atomic.adapters.memory.notifier import MemoryNotifier
from atomic.application.ports import Notifier
from atomic.runtime.polling import PollingNotifier
from contract.notifier_contract import NotifierContract


class TestMemoryNotifier(NotifierContract):
    def notifier(self) -> Notifier:
        return MemoryNotifier()


class TestPollingNotifier(NotifierContract):
    """The step may be running anywhere."""

    def notifier(self) -> Notifier:
        return PollingNotifier(lambda _run_id: False)


class TestPollingNotifierWhileTheRunIsBusy(NotifierContract):
    """Its attempt is made in this very process."""

    def notifier(self) -> Notifier:
        return PollingNotifier(lambda _run_id: True)
