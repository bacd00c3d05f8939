"""The subscription: months in virtual time with crashes at any moment, and by its own commands."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from atomic import StepOutcome
from examples.commands import EXAMPLES, client_of, commands_in, open_terminal, wait_until
from examples.outside import Asked, served
from examples.virtual import ORIGIN, World, dying, play

HOUR, DAY = 3600, 86_400
Story = Callable[[World], Coroutine[Any, Any, str]]


class Services:
    """A bank that declines some tries of a period, and a mail server. Each acts once for each key."""

    def __init__(self, declined: dict[int, int] | None = None) -> None:
        self.declined = Counter(declined)
        self.told: dict[str, tuple[int, str]] = {}
        self.days: list[float] = []

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        document, key = asked.json, asked.headers["idempotency-key"]
        event, period = document["event"], document["period"]
        if key not in self.told and event == "charge" and self.declined[period]:
            self.declined[period] -= 1
            event = "decline"
        self.told.setdefault(key, (period, event))
        return 402 if self.told[key][1] == "decline" else 200, {}

    @property
    def done(self) -> list[str]:
        """The effects in order, as "period: effect"."""
        return [f"{period}: {event}" for period, event in self.told.values()]


def paid(*periods: int) -> list[str]:
    return [f"{period}: charge" for period in periods]


async def begin(world: World) -> StepOutcome:
    payload = {"customer": "ada"}
    return await world.client.start(
        "subscription", f"{ORIGIN}/workflows/renew", payload, key="ada/1", timeout=0
    )


def cancelled_after(days: float) -> Story:
    """The story of a customer who cancels after so many days."""

    async def story(world: World) -> str:
        first = await begin(world)
        await asyncio.sleep(days * DAY)
        [run] = await world.client.runs(workflow_name="subscription", key_prefix="ada/", limit=1)
        await world.client.signal("subscription", run.idempotency_key, "cancel")
        said = await world.until(first.id)
        for run in await world.client.runs(workflow_name="subscription"):
            # Each period has a short history of its own.
            assert len((await world.client.get(run.run_id)).steps) < 15
        return f"{said} in {len(await world.client.runs())}"

    return story


async def never_cancelled(world: World) -> str:
    return str(await world.until((await begin(world)).id))


def test_it_is_renewed_until_it_is_cancelled() -> None:
    services = Services()
    said, _ = play("subscription", services, cancelled_after(12 * 30 + 1))
    assert said == "cancelled in 13"
    assert services.done == [*paid(*range(1, 14)), "13: close"]


def test_a_failed_payment_is_tried_again_for_days() -> None:
    services = Services({2: 2})
    said, _ = play("subscription", services, cancelled_after(30 + 4 + 30 + 1))
    assert said == "cancelled in 3"
    assert services.done == [
        *paid(1),
        *["2: decline", "2: warn"] * 2,
        *paid(2, 3),
        "3: close",
    ]


def test_it_ends_when_nobody_pays() -> None:
    services = Services({2: 9})
    said, _ = play("subscription", services, never_cancelled)
    assert said == "unpaid"
    assert services.done == [*paid(1), *["2: decline", "2: warn"] * 3, "2: close"]


def test_a_customer_cancels_while_payments_fail() -> None:
    services = Services({1: 9})
    said, _ = play("subscription", services, cancelled_after(2))
    assert said == "cancelled in 1"
    assert services.done == [*["1: decline", "1: warn"] * 2, "1: close"]


@dying
def test_the_process_dies_at_any_moment() -> None:
    story = cancelled_after(30 + 1 + 30 + 1.5)
    whole = Services({2: 1})
    said, moments = play("subscription", whole, story)
    assert said == "cancelled in 3"
    assert moments > 20
    for dies_at in range(1, moments + 1):
        services = Services({2: 1})
        again, _ = play("subscription", services, story, dies_at=dies_at)
        assert (again, services.done) == (said, whole.done), dies_at


def test_by_its_commands(tmp_path: Path) -> None:
    """Here a month is two seconds, and a day is a fifth of one. The application is killed once."""
    services = Services({2: 2})
    with open_terminal(tmp_path) as typed, served(services, int(typed.moved("8026"))):
        source = (EXAMPLES / "subscription.py").read_text()
        for long, short in {"days=30": "seconds=2", "days=days": "seconds=days / 5"}.items():
            assert source.count(long) == 1
            source = source.replace(long, short)
        typed.save("subscription.py", source)
        server, _, app, subscribe, unsubscribe = commands_in("subscription.py")
        for command in (server, app, subscribe, subscribe):
            typed.type(command)
        wait_until(lambda: "1: charge" in services.done)
        typed.kill(app)
        typed.type(app)
        wait_until(lambda: "3: charge" in services.done)
        assert json.loads(typed.type(unsubscribe)) in {"open", "early"}
        wait_until(lambda: services.done[-1].endswith("close"))
        with client_of(typed) as client:
            wait_until(lambda: {run.status for run in client.runs()} == {"succeeded"})
            periods = len(client.runs())
            last = client.wait(client.runs()[-1].id)
    assert last.response == "cancelled"
    assert services.done == [
        *paid(1),
        *["2: decline", "2: warn"] * 2,
        *paid(*range(2, periods + 1)),
        f"{periods}: close",
    ]
