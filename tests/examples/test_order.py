"""The order: in virtual time, where the process dies at any moment, and by its own commands."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import requests

from examples.commands import EXAMPLES, client_of, commands_in, open_terminal, wait_until
from examples.outside import Asked
from examples.virtual import ORIGIN, World, dying, play

MINUTE, HOUR, DAY = 60, 3600, 86_400
Story = Callable[[World], Coroutine[Any, Any, str]]


class Services:
    """Manager, warehouse and bank. Each does what it is told once for each key."""

    def __init__(self, *, cannot: str = "") -> None:
        self.cannot = cannot
        self.told: dict[str, str] = {}
        self.days: list[float] = []
        self.callback_urls: set[str] = set()

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        event, key = asked.json["event"], asked.headers["idempotency-key"]
        if event == self.cannot:
            return 503, {}
        if event == "ask" and key not in self.told:
            self.days.append(round(asyncio.get_running_loop().time() / DAY, 2))
        if event == "charge":
            self.callback_urls.add(asked.json["callback_url"])
        assert self.told.setdefault(key, event) == event
        return 200, {}

    @property
    def done(self) -> list[str]:
        """The effects in order, without the reminders."""
        return [event for event in self.told.values() if event != "ask"]


def story(
    services: Services, *, approved: bool | None = True, after: float = 4 * DAY, bank: str | None = ""
) -> Story:
    """The manager answers after so many seconds, and the bank ten minutes later."""

    async def tell(world: World) -> str:
        run = await world.client.start(
            "order", f"{ORIGIN}/orders/place", {"item": "cup"}, key="1", timeout=0
        )
        if approved is not None:
            await asyncio.sleep(after)
            await world.client.signal("order", "1", "approval", approved)
        if approved and bank is not None:
            await asyncio.sleep(10 * MINUTE)
            # One URL, in whichever attempt it was handed out.
            [url] = services.callback_urls
            told = await world.atomic.post(
                url.removeprefix("http://atomic.test") + bank, {"detail": "No money."}
            )
            assert told.status == 200, told
        return str(await world.until(run.id))

    return tell


def test_a_manager_is_reminded_and_approves_after_four_days() -> None:
    services = Services()
    assert play("order", services, story(services))[0] == "shipped"
    assert services.done == ["reserve", "charge", "ship"]
    assert services.days == [0, 3]


def test_the_approval_may_come_at_once() -> None:
    services = Services()
    assert play("order", services, story(services, after=0))[0] == "shipped"
    assert services.days in ([0], [])


def test_nobody_answers_for_nine_days() -> None:
    services = Services()
    assert play("order", services, story(services, approved=None))[0] == "not approved"
    assert services.days == [0, 3, 6]
    assert services.done == []


def test_a_manager_refuses() -> None:
    services = Services()
    assert play("order", services, story(services, approved=False))[0] == "not approved"
    assert services.done == []


@pytest.mark.parametrize(
    ("bank", "cannot", "because", "done"),
    [
        ("/reject", "", "No money.", ["reserve", "charge", "refund", "release"]),
        (None, "", "not completed within", ["reserve", "charge", "refund", "release"]),
        ("", "ship", "503", ["reserve", "charge", "refund", "release"]),
        (None, "charge", "503", ["reserve", "refund", "release"]),
    ],
    ids=["the bank rejects", "the bank is silent", "nobody can ship", "nobody can charge"],
)
def test_what_fails_is_undone(bank: str | None, cannot: str, because: str, done: list[str]) -> None:
    services = Services(cannot=cannot)
    said, _ = play("order", services, story(services, bank=bank))
    assert said.startswith("undone: ")
    assert because in said
    assert services.done == done


@dying
@pytest.mark.parametrize("bank", ["", "/reject"], ids=["shipped", "undone"])
def test_the_process_dies_at_any_moment(bank: str) -> None:
    whole = Services()
    said, moments = play("order", whole, story(whole, bank=bank))
    assert moments > 20
    for dies_at in range(1, moments + 1):
        services = Services()
        again, _ = play("order", services, story(services, bank=bank), dies_at=dies_at)
        assert (again, services.done, services.days) == (said, whole.done, whole.days), dies_at


def test_by_its_commands(tmp_path: Path) -> None:
    """Here three days are two seconds. The application is dead while the bank calls."""
    with open_terminal(tmp_path) as typed:
        source = (EXAMPLES / "order.py").read_text()
        assert source.count("days=3") == 1
        typed.save("order.py", source.replace("days=3", "seconds=2"))
        server, services, app, start, approve, _, again = commands_in("order.py")
        for command in (server, services, app, start):
            typed.type(command)
        wait_until(lambda: typed.logs().count('{"event": "ask"') == 2)
        typed.type(approve)
        wait_until(lambda: '{"event": "charge"' in typed.logs())
        typed.kill(app)
        [url] = re.findall(r'"callback_url": "(http[^"]+)', typed.logs())
        assert requests.post(url, json={"paid": 900}, timeout=10).json() == {"status": "succeeded"}
        typed.type(app)
        assert json.loads(typed.type(again)) == "shipped"
        told = Counter(re.findall(r'^event {"event": "(\w+)"', typed.logs(), re.MULTILINE))
        with client_of(typed) as client:
            [run] = client.runs()
            assert client.get(run.run_id).root.attempts > 1
    assert told == {"ask": told["ask"], "reserve": 1, "charge": 1, "ship": 1}
    assert told["ask"] in {2, 3}
