"""Schedules that go on with other rules of their time zone, as after an update of `tzdata`."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from atomic.application import firing
from atomic.application.ports import StoreUnavailable
from atomic.domain import cadence, retiming, schedules, zones
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS

NAME = "Africa/Casablanca"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BEGIN = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=EPOCH_MS)
MIDNIGHT = BEGIN.replace(hour=0, minute=0, second=0, microsecond=0)
# The rules of before: an hour ahead of UTC, so 08:00 is 07:00 in UTC.
OLD = "Etc/GMT-1"
SHOWS = {OLD: 7, "Etc/GMT-2": 6, "Etc/GMT": 8}


def use(rules: str, planted: pytest.MonkeyPatch) -> None:
    """Let the zone have these rules, of a release of its own."""
    known = zones.zone
    planted.setattr(cadence, "zone", lambda name: known(rules if name == NAME else name))
    for module in (schedules, retiming):
        planted.setattr(module, "TZDATA_VERSION", rules)


async def ask(atomic: LocalAtomic, method: str, path: str, document: Any = None) -> Any:
    body = b"" if document is None else json.dumps(document).encode()
    reply = await atomic.request(method, f"/me{path}", body=body)
    assert reply.status < 300, reply.body
    return reply.json


class Daily:
    """A schedule at 08:00 of its clock, and the times of its runs."""

    def __init__(self, atomic: LocalAtomic) -> None:
        self.atomic = atomic
        self.keys: list[datetime] = []
        self.url = atomic.endpoint("/daily", self._called)

    async def _called(self, call: EndpointCall) -> EndpointReply:
        self.keys.append(datetime.fromisoformat(call.json["idempotencyKey"].partition("@")[2]))
        return EndpointReply(json=None)

    async def put(self, **members: Any) -> Any:
        start = {"workflowName": "daily", "stepInvokeUrl": self.url}
        times = {"cron": "0 8 * * *", "timeZone": NAME}
        return await ask(self.atomic, "PUT", "/schedules/daily", {**times, "start": start, **members})

    async def until(self, moment: datetime) -> None:
        left = moment - BEGIN - timedelta(milliseconds=self.atomic.engine.clock.now_ms() - EPOCH_MS)
        await asyncio.sleep(left.total_seconds())

    async def look(self) -> None:
        """A wake-up, as after a restart."""
        row = await self.atomic.engine.store.get_schedule("me", "daily")
        assert row is not None
        await firing.process_schedule(self.atomic.engine, row.id)


@pytest.mark.parametrize("rules", ["Etc/GMT-2", "Etc/GMT"])
# Just after the run of the second day, hours later, and just before that of the third day by either rules.
@pytest.mark.parametrize("hours", [7.01, 7.5, 20, 29.9])
@pytest.mark.parametrize("by", ["wake-up", "put", "pause"])
def test_each_day_has_one_run_when_the_rules_change(
    rules: str, hours: float, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        use(OLD, monkeypatch)
        async with LocalAtomic() as atomic:
            daily = Daily(atomic)
            await daily.put(overlap="allow", catchUp={"policy": "all"})
            await daily.until(MIDNIGHT + DAY + hours * HOUR)
            before = list(daily.keys)
            monkeypatch.undo()
            use(rules, monkeypatch)
            if by == "wake-up":
                await daily.look()
            elif by == "put":
                await daily.put(overlap="allow", catchUp={"policy": "all"}, note="deployed")
            else:
                await ask(atomic, "POST", "/schedules/daily/pause")
                await ask(atomic, "POST", "/schedules/daily/resume")
            await daily.until(MIDNIGHT + 4 * DAY)
            old, new = SHOWS[OLD] * HOUR, SHOWS[rules] * HOUR
            assert before == [MIDNIGHT + day * DAY + old for day in range(2)]
            assert daily.keys[2:] == [MIDNIGHT + day * DAY + new for day in (2, 3)]

    run(main())


@pytest.mark.parametrize("rules", ["Etc/GMT-2", "Etc/GMT"])
def test_a_slot_that_was_started_by_the_rules_of_before_is_not_started_again(
    rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended before it moved the row, and the next one has the new rules."""

    def ends(*_: object) -> None:
        raise StoreUnavailable("ended")

    async def main() -> None:
        use(OLD, monkeypatch)
        async with LocalAtomic() as atomic:
            daily = Daily(atomic)
            await daily.put(overlap="allow")
            with monkeypatch.context() as planted:
                planted.setattr(firing, "started", ends)
                await daily.until(MIDNIGHT + (SHOWS[OLD] + 0.001) * HOUR)
                assert len(daily.keys) == 1
            use(rules, monkeypatch)
            await daily.look()
            await daily.until(MIDNIGHT + 2 * DAY)
            assert daily.keys == [MIDNIGHT + SHOWS[OLD] * HOUR, MIDNIGHT + DAY + SHOWS[rules] * HOUR]
            assert (await ask(atomic, "GET", "/schedules/daily"))["started"] == 2

    run(main())


def test_what_follows_no_clock_is_never_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            daily = Daily(atomic)
            start = {"workflowName": "daily", "stepInvokeUrl": daily.url}
            await ask(atomic, "PUT", "/schedules/hourly", {"every": 3_600_000, "start": start})
            row = await atomic.engine.store.get_schedule("me", "hourly")
            assert row is not None
            use(OLD, monkeypatch)
            assert not retiming.is_outdated(row)
            assert retiming.retimed(row) is row

    run(main())
