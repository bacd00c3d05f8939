"""Requests about schedules that try to break something."""

import asyncio
import json
from typing import Any

import pytest

from atomic.protocol.wire import to_rfc3339
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS

DAY_MS = 86_400_000
EARLIEST, LATEST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"


async def answer_ok(_: EndpointCall) -> EndpointReply:
    return EndpointReply(status=200, json=None)


async def ask(
    atomic: LocalAtomic, method: str, path: str, document: Any = None, **headers: str
) -> ApiReply:
    body = b"" if document is None else json.dumps(document).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await atomic.request(method, f"/me/schedules{path}", body=body, headers=given)


def document(url: str, **members: Any) -> dict[str, Any]:
    times = {} if members.keys() & {"cron", "at"} else {"every": DAY_MS}
    return {"start": {"workflowName": "digest", "stepInvokeUrl": url}, **times, **members}


@pytest.mark.parametrize(
    "times",
    [
        {"cron": ["0 0 29 2 *"] * 16},
        {"cron": "* * * * *", "until": EARLIEST},
        {"at": [EARLIEST, LATEST]},
        {"at": ["2020-01-01T00:00:00Z"] * 100, "limit": 1, "until": "2019-01-01T00:00:00Z"},
        {"limit": 2**63 - 1, "until": LATEST},
    ],
)
def test_times_at_the_ends_of_all_time_are_answered(times: dict[str, Any]) -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = document(atomic.endpoint("/digest", answer_ok), **times)
            assert (await ask(atomic, "PUT", "/t", wanted)).status == 201
            assert (await ask(atomic, "GET", "/t")).status == 200
            for moment in (EARLIEST, LATEST):
                assert (await ask(atomic, "GET", f"/t/next?count=100&from={moment}")).status == 200
            far = {"from": EARLIEST, "to": to_rfc3339(EPOCH_MS), "dryRun": True}
            assert (await ask(atomic, "POST", "/t/backfill", far)).status == 200

    run(main())


@pytest.mark.parametrize("cron", ["", 5, [], [""], ["@daily", 5], ["@daily"] * 17, "0" * 256, {}])
def test_what_is_no_cron_is_refused_by_the_name_of_the_member(cron: Any) -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = document(atomic.endpoint("/digest", answer_ok), cron=cron)
            refused = await ask(atomic, "PUT", "/t", wanted)
            assert refused.status == 400
            errors = refused.json["errors"]
            assert [error["field"] for error in errors] == ["cron"]
            assert "such as `0 8 * * MON-FRI`" in errors[0]["message"]

    run(main())


def test_conditions_of_a_put() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = document(atomic.endpoint("/digest", answer_ok))
            assert (await ask(atomic, "PUT", "/t", wanted, If_Match="*")).status == 412
            assert (await ask(atomic, "PUT", "/t", wanted, If_None_Match='"1"')).status == 400
            assert (await ask(atomic, "PUT", "/t", wanted, If_None_Match="*")).status == 201
            assert (await ask(atomic, "PUT", "/t", wanted, If_Match="*")).status == 200
            both = await ask(atomic, "PUT", "/t", wanted, If_None_Match="*", If_Match="*")
            assert both.status == 412
            for wrong in ('W/"1"', '"x"', '""', '"1","2"', f'"{10**20}"', '"-1"'):
                assert (await ask(atomic, "PUT", "/t", wanted, If_Match=wrong)).status == 400

    run(main())


def test_of_several_that_put_with_one_version_one_succeeds() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = document(atomic.endpoint("/digest", answer_ok))
            first = await ask(atomic, "PUT", "/t", wanted)
            tag = first.headers["etag"]
            puts = (ask(atomic, "PUT", "/t", {**wanted, "note": str(n)}, If_Match=tag) for n in range(50))
            statuses = [reply.status for reply in await asyncio.gather(*puts)]
            assert sorted(statuses) == [200] + [412] * 49
            puts = (ask(atomic, "PUT", "/t", {**wanted, "note": str(n)}) for n in range(50))
            assert {reply.status for reply in await asyncio.gather(*puts)} == {200}

    run(main())


def test_the_version_of_a_deleted_schedule_does_not_come_again() -> None:
    async def main() -> None:
        async with LocalAtomic() as atomic:
            wanted = document(atomic.endpoint("/digest", answer_ok))
            first = await ask(atomic, "PUT", "/t", wanted)
            await ask(atomic, "DELETE", "/t")
            await asyncio.sleep(0.01)
            await ask(atomic, "PUT", "/t", wanted)
            late = await ask(atomic, "PUT", "/t", wanted, If_Match=first.headers["etag"])
            assert late.status == 412

    run(main())
