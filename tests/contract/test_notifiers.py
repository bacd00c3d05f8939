"""The contract of notifiers: for one process, and for several that may settle the same step."""

from atomic.adapters.memory.wakeups import MemoryNotifier
from atomic.application.ports import Notifier
from atomic.runtime.polling import PollingNotifier
from contract.notifier_contract import NotifierContract


class TestMemoryNotifier(NotifierContract):
    def notifier(self) -> Notifier:
        return MemoryNotifier()


class TestPollingNotifier(NotifierContract):
    """The step may be running in another process."""

    def notifier(self) -> Notifier:
        return PollingNotifier(lambda _run_id: False)


class TestPollingNotifierWhileTheRunIsBusy(NotifierContract):
    """The attempt runs in this process."""

    def notifier(self) -> Notifier:
        return PollingNotifier(lambda _run_id: True)
