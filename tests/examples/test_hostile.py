"""The examples under faults: the same results and effects as without any.

Each seed is a run. `make hostile HOSTILE=0..100` makes a thousand; here there are a few.
"""

import json
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from atomic import Client
from atomic.runtime.faults import FAULTS, Faults
from docs.terminal import Terminal
from examples import test_agent, test_order, test_subscription
from examples.commands import EXAMPLES, client_of, commands_in, open_terminal
from examples.virtual import play

GIVEN = os.environ.get("HOSTILE", "")
FIRST, _, LAST = (GIVEN or "0..2").partition("..")
SEEDS = range(int(FIRST), int(LAST))


def agent(faults: Faults) -> Any:
    outside = test_agent.ModelAndShop()
    said, _ = play("agent", outside, test_agent.with_a_person, faults=faults)
    test_agent.check(said, outside)
    return json.loads(dict(part.split(": ", 1) for part in said.split("; "))["call_3"]), outside.refunds


def order(faults: Faults) -> Any:
    services = test_order.Services()
    said, _ = play("order", services, test_order.story(services), faults=faults)
    return said, services.done, services.days


def undone_order(faults: Faults) -> Any:
    services = test_order.Services()
    said, _ = play("order", services, test_order.story(services, bank="/reject"), faults=faults)
    return said, services.done, services.days


def subscription(faults: Faults) -> Any:
    services = test_subscription.Services({2: 1})
    story = test_subscription.cancelled_after(30 + 1 + 30 + 1.5)
    said, _ = play("subscription", services, story, faults=faults)
    return said, services.done


def as_seeded(play_story: Callable[[Faults], Any]) -> Counter[str]:
    """Play a story by each seed; the faults that were made."""
    calm, made = play_story(Faults()), Counter[str]()
    for seed in SEEDS:
        faults = Faults("hostile", seed)
        assert play_story(faults) == calm, f"seed {seed}"
        made += Counter({str(name): number for name, number in faults.made.items()})
    return made


@pytest.mark.parametrize("story", [agent, order, undone_order, subscription])
def test_in_virtual_time(story: Callable[[Faults], Any]) -> None:
    made = as_seeded(story)
    assert len(made) > len(FAULTS) // 2, made


@dataclass(frozen=True)
class Application:
    """An example that is served: the commands that serve it, and a run of it.

    `run(opened, number)` returns the result and the effects of run `number`, the same for each number.
    """

    name: str
    run: Callable[["Opened", int], Any]
    servers: int = 2
    changes: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Opened:
    """The application of an example beside a server."""

    typed: Terminal
    client: Client
    url: str

    def rows(self, database: str, query: str, value: Any) -> list[Any]:
        """What a database has for a run."""
        with sqlite3.connect(self.typed.folder / database) as db:
            found = db.execute(query, (value,)).fetchall()
        db.close()
        return found


def two_orders(opened: Opened, number: int) -> Any:
    """One order is placed, and one is taken back. The price tells the runs apart."""
    found = []
    for item, cents in (("cup", 2 * number), ("whale", 2 * number + 1)):
        payload = {"item": item, "cents": cents}
        ended = opened.client.start("order", f"{opened.url}/orders/place", payload, key=str(cents))
        entries = "SELECT entry FROM book WHERE cents = ? ORDER BY rowid"
        found.append((ended.response, opened.rows("orders.db", entries, cents)))
    return found


def sign_up(opened: Opened, number: int) -> Any:
    """A user is created, once, with one mail and one event."""
    name = f"user-{number}"
    told = requests.post(
        f"{opened.url}/users", json={"name": name}, headers={"Idempotency-Key": name}, timeout=60
    ).json()
    [[user_id]] = opened.rows("users.db", "SELECT id FROM users WHERE name = ?", name)
    assert told["user"] == {"name": name, "id": user_id}
    said = opened.typed.logs()
    # A mail has no key: a copy is recognized by its Message-ID.
    mails = set(re.findall(rf"mail {name}@example.com Message-ID: (\S+)", said))
    assert mails == {told["mail"]}
    return said.count(f'event {{"event": "userCreated", "user": {user_id}}}')


def thumbnails(opened: Opened, number: int) -> Any:
    """Twenty steps side by side, of which two fail once."""
    url = f"{opened.url}/thumbnails/album"
    return opened.client.start("thumbnails", url, 20, key=f"album-{number}").response


def report(opened: Opened, number: int) -> Any:
    """A handler without the SDK, which is called again and again."""
    return opened.client.start("report", f"{opened.url}/report", "May", key=f"may-{number}").response


APPLICATIONS = (
    Application("order_saga.py", two_orders),
    Application("users_flask.py", sign_up, servers=3),
    Application("users_fastapi.py", sign_up, servers=3),
    Application("users_django.py", sign_up, servers=3),
    Application("fan_out.py", thumbnails),
    Application("slow_report.py", report, changes=("time.sleep(1.2)", "time.sleep(0.05)")),
)


@contextmanager
def opened_application(example: Application, folder: Path) -> Iterator[Opened]:
    """The example beside a server whose time moves by itself."""
    with open_terminal(folder) as typed:
        source = (EXAMPLES / example.name).read_text()
        assert example.changes[0] in source
        typed.save(example.name, source.replace(*example.changes) if all(example.changes) else source)
        serve, *applications = commands_in(example.name)[: example.servers]
        typed.type(f"{serve} --virtual-time")
        for command in applications:
            typed.type(command)
        told(typed, "time", {"auto": True})
        with client_of(typed) as client:
            yield Opened(typed, client, typed.moved("http://127.0.0.1:9000"))


def told(typed: Terminal, what: str, document: Any) -> Any:
    """Tell the server how time moves, or which faults it makes."""
    url = typed.moved("http://127.0.0.1:8787") + f"/_dev/{what}"
    answer = requests.put(url, json=document, timeout=10)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.parametrize(
    "example", APPLICATIONS if GIVEN else APPLICATIONS[:1], ids=lambda example: str(example.name)
)
def test_over_http(example: Application, tmp_path: Path) -> None:
    began_s = time.monotonic()
    with opened_application(example, tmp_path) as opened:
        told(opened.typed, "faults", {"profile": "calm"})
        calm = example.run(opened, SEEDS.start)
        for seed in SEEDS:
            told(opened.typed, "faults", {"profile": "hostile", "seed": seed})
            assert example.run(opened, seed + 1) == calm, f"seed {seed}"
            if GIVEN and seed % 25 == 0:
                print(example.name, seed, f"{time.monotonic() - began_s:.1f} s", flush=True)
