"""The contract of destinations: counted in one process, and shared in the DynamoDB table (moto)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from atomic.adapters.aws.destinations import Bounds, SharedDestinations
from atomic.application.destinations import CountedRuns
from contract.aws import Aws, aws
from contract.destinations_contract import DestinationsContract, Runtime

ENVIRONMENTS = 10


@dataclass
class OneProcess:
    most: int = 5

    def __post_init__(self) -> None:
        self._runs = CountedRuns(self.most)

    def at(self, number: int) -> CountedRuns:
        return self._runs


@dataclass
class Environments:
    """Each run is in an environment of its own."""

    account: Aws
    most: int = Bounds.of(ENVIRONMENTS).most
    there: dict[int, SharedDestinations] = field(default_factory=dict)

    def at(self, number: int) -> SharedDestinations:
        if number not in self.there:
            self.there[number] = self.account.destinations(number, ENVIRONMENTS)
        return self.there[number]


class TestCountedRuns(DestinationsContract):
    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        yield OneProcess()


class TestSharedDestinations(DestinationsContract):
    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        with aws() as account:
            yield Environments(account)
