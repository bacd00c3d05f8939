"""What every `StepStore` must find: lists, filters, pages and counts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from atomic.application.cause_query import CauseQuery
from atomic.application.ports import StepStore
from atomic.application.run_query import Counted, RunQuery, cursor_of
from atomic.domain.causes import Cause, Dismissal
from atomic.domain.steps import Step
from atomic.protocol.enums import LIVE, Status
from atomic.protocol.error_kinds import ErrorKind
from contract.builders import RETENTION_MS, a_child, a_root, settled
from contract.store_suite import StoreSuite, keyed, on_store, put


class QueryContract(StoreSuite):
    """Part of `StoreContract`."""

    # --- list ---

    @on_store
    async def test_runs_are_listed_newest_first(self, store: StepStore) -> None:
        roots = [keyed(f"k{number}", at_ms=1_000 + number % 4) for number in range(12)]
        await put(store, *roots, a_child("mail", roots[0].spec), keyed("k1", client_id="other"))
        expected = sorted(roots, key=lambda step: (step.created_at_ms, step.id), reverse=True)
        assert await store.list(RunQuery(client_id="acme")) == expected
        assert await store.list(RunQuery(client_id="acme", limit=5)) == expected[:5]
        assert await store.list(RunQuery(client_id="nobody")) == []

    @on_store
    async def test_pages_meet_without_gap_or_overlap(self, store: StepStore) -> None:
        states = list(Status)
        roots = [keyed(f"k{n}", at_ms=1_000 + n // 7, status=states[n % 7]) for n in range(30)]
        await put(store, *roots)
        query, seen = RunQuery(client_id="acme", limit=4), []
        while page := await store.list(query):
            seen += page
            query = replace(query, after=(page[-1].created_at_ms, page[-1].id))
        assert seen == sorted(roots, key=lambda step: (step.created_at_ms, step.id), reverse=True)

    @on_store
    async def test_every_filter_and_all_of_them(self, store: StepStore) -> None:
        roots = [
            keyed(f"{prefix}-{number}", workflow_name=workflow, at_ms=1_000 + number, status=status)
            for number, status in enumerate(Status)
            for prefix in ("a", "b")
            for workflow in ("createUser", "createuser")
        ]
        await put(store, *roots)
        failed_at = 1_000 + list(Status).index(Status.FAILED)
        filters: dict[str, tuple[Any, Callable[[Step], bool]]] = {
            "status": (Status.FAILED, lambda step: step.status is Status.FAILED),
            "workflow_name": ("createUser", lambda step: step.spec.workflow_name == "createUser"),
            "key_prefix": ("a-", lambda step: step.spec.idempotency_key.startswith("a-")),
            "key_part": ("-5", lambda step: "-5" in step.spec.idempotency_key),
            "created_from_ms": (failed_at, lambda step: step.created_at_ms >= failed_at),
            "created_before_ms": (failed_at + 1, lambda step: step.created_at_ms <= failed_at),
        }
        for chosen in ([name] for name in filters):
            await _expect(store, roots, {name: filters[name] for name in chosen})
        await _expect(store, roots, filters)

    @on_store
    async def test_the_cursor_and_a_time_filter_together(self, store: StepStore) -> None:
        roots = [keyed(f"k{number}", at_ms=1_000 + number) for number in range(9)]
        await put(store, *roots)
        within = RunQuery(client_id="acme", created_from_ms=1_002, created_before_ms=1_007)
        assert await store.list(replace(within, after=(1_005, roots[5].id))) == roots[4:1:-1]
        assert await store.list(replace(within, after=(1_008, roots[8].id))) == roots[6:1:-1]

    @on_store
    async def test_a_key_prefix_is_taken_literally(self, store: StepStore) -> None:
        names = ["a%b1", "a%b2", "aXb", "A%b", "a_b", "a*b", "a[b]", "a", "b", "~~", "a%"]
        roots = [keyed(name, at_ms=1_000 + number) for number, name in enumerate(names)]
        await put(store, *roots)
        for prefix in ("", "a", "A", "a%", "a%b", "a_", "a*", "a[", "a[b]", "~", "~~~", "a%b1", "aX"):
            found = await store.list(RunQuery(client_id="acme", key_prefix=prefix))
            keys = [step.spec.idempotency_key for step in found]
            assert keys == [name for name in reversed(names) if name.startswith(prefix)], prefix

    @on_store
    async def test_runs_are_found_by_their_tags(self, store: StepStore) -> None:
        states = list(Status)
        roots = [
            keyed(
                f"{'ab'[n % 2]}-{n}",
                at_ms=1_000 + n // 4,
                status=states[n % 7],
                workflow_name=f"w{n % 3}",
                tags=(f"of:{n % 5}", "every:%_*[a]", *(("both:é 🙂",) if n % 10 == 3 else ())),
            )
            for n in range(40)
        ]
        untagged = keyed("plain")
        await put(store, *roots, untagged, keyed("foreign", client_id="other", tags=("of:3",)))
        await put(store, replace(a_child("mail"), spec=replace(a_child("mail").spec, tags=("of:3",))))
        fifth = [root for root in roots if "of:3" in root.spec.tags]
        await _expect(store, roots, {"tags": (("every:%_*[a]",), lambda step: True)})
        filters: dict[str, tuple[Any, Callable[[Step], bool]]] = {
            "tags": (("of:3", "both:é 🙂"), lambda step: "both:é 🙂" in step.spec.tags),
            "status": (roots[13].status, lambda step: step.status is roots[13].status),
            "workflow_name": ("w1", lambda step: step.spec.workflow_name == "w1"),
            "key_prefix": ("b-1", lambda step: step.spec.idempotency_key.startswith("b-1")),
            "created_from_ms": (1_003, lambda step: step.created_at_ms >= 1_003),
            "created_before_ms": (1_009, lambda step: step.created_at_ms < 1_009),
        }
        for name in filters:
            await _expect(store, roots, {each: filters[each] for each in ("tags", name)})
        await _expect(store, roots, filters)
        query, seen = RunQuery(client_id="acme", tags=("of:3",), limit=3), list[Step]()
        while page := await store.list(query):
            seen += page
            query = replace(query, after=(page[-1].created_at_ms, page[-1].id))
        assert seen == sorted(fifth, key=lambda step: (step.created_at_ms, step.id), reverse=True)
        for tags in (("of",), ("of:",), ("OF:3",), ("of:30",), ("of:3", "none:x"), ("every:%",)):
            assert await store.list(RunQuery(client_id="acme", tags=tags)) == [], tags

    @on_store
    async def test_a_run_that_takes_the_place_of_an_expired_one_has_its_own_tags(
        self, store: StepStore
    ) -> None:
        old = settled(keyed("k", tags=("of:old", "of:both")), 2_000)
        await put(store, old)
        again = keyed("k", at_ms=old.created_at_ms + RETENTION_MS, tags=("of:new", "of:both"))
        new = replace(again, version=old.version + 1)
        assert await store.replace(new, old.version) is None

        async def found(*tags: str) -> Any:
            return await store.list(RunQuery(client_id="acme", tags=tags))

        assert [await found("of:old"), await found("of:new"), await found("of:both")] == [[], [new], [new]]
        assert await store.create(keyed("k", at_ms=5_000, tags=("of:late",))) == new
        assert await found("of:late") == []

    @on_store
    async def test_a_part_of_a_key_is_taken_literally(self, store: StepStore) -> None:
        names = ["a%b1", "xa%b2", "aXb", "xA%b", "a_b", "xa*b", "a[b]", "b", "~~", "a'b"]
        roots = [
            keyed(name, at_ms=1_000 + number, status=list(Status)[number % 7])
            for number, name in enumerate(names)
        ]
        await put(store, *roots, a_child("a%b"))
        for part in ("a%", "%b", "a%b1", "a_", "A", "*", "[b", "~", "X", "'", "a", "none"):
            more: dict[str, Any]
            for more in ({}, {"among": LIVE}, {"status": Status.FAILED}, {"key_prefix": "xa"}):
                query = RunQuery(client_id="acme", key_part=part, **more)
                expected = [root for root in reversed(roots) if root.status in query.statuses]
                assert await store.list(query) == [root for root in expected if query.fits(root)], query
        failed = [root.id for root in reversed(roots) if root.status is Status.FAILED]
        assert await store.failed(RunQuery(client_id="acme", key_part="*")) == failed

    @on_store
    async def test_failed_runs_are_found_by_their_cause(self, store: StepStore) -> None:
        roots = [
            failed(
                f"k-{n}", ("timeout", "refused", None)[n % 3], at_ms=1_000 + n // 4, dismissed=n % 2 == 0
            )
            for n in range(24)
        ]
        await put(store, *roots, failed("foreign", "timeout", client_id="other"))
        timeout = failed("any", "timeout").cause
        assert timeout is not None
        filters: dict[str, tuple[Any, Callable[[Step], bool]]] = {
            "cause": (timeout.id, lambda step: step.cause is not None and step.cause.id == timeout.id),
            "dismissed": (False, lambda step: step.cause is not None and step.dismissal is None),
            "status": (Status.FAILED, lambda step: True),
            "workflow_name": ("createUser", lambda step: step.spec.workflow_name == "createUser"),
            "key_prefix": ("k-1", lambda step: step.spec.idempotency_key.startswith("k-1")),
            "key_part": ("1", lambda step: "1" in step.spec.idempotency_key),
            "tags": (("of:failed",), lambda step: True),
        }
        dismissed = (True, lambda step: step.dismissal is not None)
        await _expect(store, roots, {"cause": filters["cause"]})
        for name in filters.keys() - {"cause", "dismissed"}:
            for chosen in ("cause", "dismissed"):
                await _expect(store, roots, {each: filters[each] for each in (chosen, name)})
            await _expect(store, roots, {"dismissed": dismissed, name: filters[name]})
        await _expect(store, roots, filters)
        for query in (
            RunQuery(client_id="acme", cause="0" * 16),
            RunQuery(client_id="acme", cause=timeout.id, status=Status.SUCCEEDED),
            RunQuery(client_id="acme", dismissed=False, among=LIVE),
        ):
            assert await store.list(query) == [], query
        query, seen = RunQuery(client_id="acme", cause=timeout.id, limit=3), list[Step]()
        while page := await store.list(query):
            seen += page
            query = replace(query, after=cursor_of(page[-1]))
        of_timeout = [root for root in roots if root.cause is not None and root.cause.id == timeout.id]
        assert seen == sorted(of_timeout, key=cursor_of, reverse=True)

    @on_store
    async def test_failed_runs_are_counted_by_their_causes(self, store: StepStore) -> None:
        roots = [failed(f"a-{n}", "timeout", at_ms=1_000 + n) for n in range(5)]
        roots += [failed(f"b-{n}", "refused", at_ms=2_000 + n, workflow_name="bill") for n in range(3)]
        roots += [failed("c", "broken", dismissed=True), failed("foreign", "timeout", client_id="other")]
        await put(store, *roots, settled(keyed("fine"), 2_000))

        async def found(**asked: Any) -> list[tuple[str, int, int, int, list[str]]]:
            page = await store.causes(CauseQuery(client_id="acme", **asked))
            assert page.is_all
            return [
                (
                    group.cause.said,
                    group.count,
                    group.first_created_ms,
                    group.last_created_ms,
                    [step.spec.idempotency_key for step in group.samples],
                )
                for group in page.groups
            ]

        of_timeout = ("timeout", 5, 1_000, 1_004, ["a-4", "a-3", "a-2"])
        of_refused = ("refused", 3, 2_000, 2_002, ["b-2", "b-1", "b-0"])
        assert await found() == [of_timeout, of_refused]
        assert await found(workflow_name="bill") == [of_refused]
        assert await found(workflow_name="none") == []
        assert await found(dismissed=True) == [("broken", 1, 1_000, 1_000, ["c"])]
        assert await found(limit=1) == [of_timeout]
        assert (await store.causes(CauseQuery(client_id="acme", limit=1))).more
        assert not (await store.causes(CauseQuery(client_id="acme", limit=2))).more

    @on_store
    async def test_a_run_that_goes_on_has_no_cause_any_more(self, store: StepStore) -> None:
        root = failed("k", "timeout")
        await put(store, root)
        assert (await store.get(root.id)) == root
        dismissed = replace(root, dismissal=Dismissal(at_ms=5_000, note="known"), version=2)
        assert await store.replace(dismissed, 1) is None
        assert (await store.get(root.id)) == dismissed
        assert [group.count for group in (await store.causes(CauseQuery(client_id="acme"))).groups] == []
        again = replace(
            dismissed,
            status=Status.PENDING,
            due_at_ms=6_000,
            finished_at_ms=None,
            expires_at_ms=None,
            cause=None,
            dismissal=None,
            version=3,
        )
        assert await store.replace(again, 2) is None
        for wanted in (None, True, False):
            assert root.cause is not None
            query = RunQuery(client_id="acme", cause=root.cause.id, dismissed=wanted)
            assert await store.list(query) == []
        assert (await store.causes(CauseQuery(client_id="acme", dismissed=True))).groups == []

    @on_store
    async def test_runs_of_all_pages_are_counted(self, store: StepStore) -> None:
        states, tags = (Status.FAILED, Status.PENDING, Status.SUCCEEDED), ("env:prod",)
        roots = [
            keyed(f"k{n}", at_ms=1_000 + n, status=states[n % 3], tags=tags[: n % 2]) for n in range(12)
        ]
        await put(store, *roots, a_child("mail", roots[0].spec), keyed("k1", client_id="other"))
        for query, expected in (
            (RunQuery(client_id="acme"), 12),
            (RunQuery(client_id="acme", limit=1), 12),
            (RunQuery(client_id="acme", among=LIVE), 4),
            (RunQuery(client_id="acme", among=LIVE, status=Status.FAILED), 0),
            (RunQuery(client_id="acme", tags=tags), 6),
            (RunQuery(client_id="acme", tags=tags, status=Status.FAILED), 2),
            (RunQuery(client_id="nobody"), 0),
        ):
            assert await store.count_runs(query, 1_000) == Counted(expected, is_all=True), query

    @on_store
    async def test_only_live_runs_are_listed_if_these_are_wanted(self, store: StepStore) -> None:
        roots = [
            keyed(f"k-{n}", at_ms=1_000 + n, status=list(Status)[n % 7], tags=("a:b",)) for n in range(21)
        ]
        await put(store, *roots)
        live = [root for root in reversed(roots) if root.status in LIVE]
        query = RunQuery(client_id="acme", among=LIVE)
        more: dict[str, Any]
        for more in ({}, {"tags": ("a:b",)}, {"workflow_name": "createUser"}, {"key_prefix": "k"}):
            assert await store.list(replace(query, **more)) == live, more
        one = [root for root in live if root.status is Status.WAITING]
        assert await store.list(replace(query, status=Status.WAITING)) == one
        assert await store.list(replace(query, status=Status.FAILED)) == []

    @on_store
    async def test_a_run_is_listed_under_its_newest_state(self, store: StepStore) -> None:
        root = a_root()
        await put(store, root)
        after = settled(root, 2_000)
        await store.replace(after, 1)
        assert await store.list(RunQuery(client_id="acme", status=Status.PENDING)) == []
        assert await store.list(RunQuery(client_id="acme", status=Status.SUCCEEDED)) == [after]

    # --- failed, count ---

    @on_store
    async def test_failed_steps_at_any_position_are_found(self, store: StepStore) -> None:
        root = keyed("order-1", status=Status.FAILED)
        child = a_child("mail", root.spec, status=Status.FAILED, at_ms=2_000)
        later = keyed("mail-2", workflow_name="mails", status=Status.FAILED, at_ms=3_000)
        live, foreign = keyed("order-3"), keyed("order-1", client_id="other", status=Status.FAILED)
        await put(store, root, child, later, live, foreign)

        async def found(**filters: Any) -> set[str]:
            return set(await store.failed(RunQuery(client_id="acme", **filters)))

        assert await found() == {root.id, child.id, later.id}
        assert await found(status=Status.SUCCEEDED) == {root.id, child.id, later.id}
        assert await found(workflow_name="mails") == {later.id}
        assert await found(key_prefix="order") == {root.id, child.id}
        assert await found(created_from_ms=2_000) == {child.id, later.id}
        assert await found(created_before_ms=2_000) == {root.id}
        assert len(await store.failed(RunQuery(client_id="acme", limit=2))) == 2

    @on_store
    async def test_counts_of_runs_and_dead_letters(self, store: StepStore) -> None:
        for number, status in enumerate(Status):
            root = keyed(f"k-{status}", status=status, at_ms=1_000 + number)
            await put(store, root)
            if status is Status.FAILED:
                await put(store, a_child("mail", root.spec, status=status, at_ms=500))
        await put(store, keyed("k", client_id="other", at_ms=1))
        counts = await store.count("acme", 1_002)
        assert counts.live == dict.fromkeys(LIVE, 1)
        assert counts.runs == dict.fromkeys(list(Status)[2:], 1)
        assert counts.dead_letters == 2
        assert counts.oldest_due_at_ms == 1_000

    @on_store
    async def test_live_steps_of_one_client_are_counted(self, store: StepStore) -> None:
        await put(store, *(keyed(f"k-{status}", status=status) for status in Status))
        await put(store, *(keyed(f"k-{number}") for number in range(20)), keyed("k", client_id="other"))
        assert await store.count_live_of("acme", 1_000) == 20 + len(LIVE)
        assert await store.count_live_of("acme", 10) >= 10
        assert await store.count_live_of("nobody", 10) == 0
        # Nothing has counted before.
        assert await store.counted_live("acme") is None

    @on_store
    async def test_counts_of_a_client_without_steps(self, store: StepStore) -> None:
        await put(store, a_root())
        counts = await store.count("nobody", 0)
        assert (counts.live, counts.runs, counts.dead_letters) == ({}, {}, 0)
        assert counts.oldest_due_at_ms is None


def failed(key: str, said: str | None, *, dismissed: bool = False, **members: Any) -> Step:
    """The root of a failed run, with a cause if its endpoint said something."""
    root = keyed(key, status=Status.FAILED, tags=("of:failed",), **members)
    if said is None:
        return replace(root, status=Status.SUCCEEDED)
    name = root.spec.workflow_name
    cause = Cause(step_id=root.id, workflow_name=name, error_kind=ErrorKind.ENDPOINT_ANSWERED, said=said)
    return replace(root, cause=cause, dismissal=Dismissal(at_ms=6_000) if dismissed else None)


async def _expect(
    store: StepStore, roots: list[Step], filters: dict[str, tuple[Any, Callable[[Step], bool]]]
) -> None:
    values = {name: value for name, (value, _) in filters.items()}
    expected = [root for root in roots if all(fits(root) for _, fits in filters.values())]
    assert expected, "a filter that finds nothing tests nothing"
    newest_first = sorted(expected, key=lambda step: (step.created_at_ms, step.id), reverse=True)
    assert await store.list(RunQuery(client_id="acme", **values)) == newest_first, values
    counted = await store.count_runs(RunQuery(client_id="acme", limit=1, **values), 1_000)
    assert counted == Counted(len(expected), is_all=True), values
