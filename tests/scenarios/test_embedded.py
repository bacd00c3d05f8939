"""Every scenario on a real server over HTTP: in virtual time, if it needs no keys and no real time."""

import asyncio
from collections.abc import Iterator

import pytest

from scenarios.collect import Scenario, name_of, scenarios_for
from scenarios.embedded_runtime import AtomicServer, LockedServer, runtime_on
from scenarios.virtual_runtime import START, virtual_runtime_on

WAITS = "its handler waits for what is due later; in virtual time it is told 504 at once and called again"
STANDS = "something falls due during an attempt, and virtual time stands still until the attempt ends"
LASTS = "it reads how long an attempt took, which is no time in virtual time"
ORDERS = "it orders what is created at one moment in virtual time"
SLEEPS = "it counts on a few milliseconds of its own"
ACTS = "it acts before something is due, and virtual time may come to it first"
# By the scenario's name: why it runs in real time.
IN_REAL_TIME = {
    "the_handler_of_a_cancelled_run_gets_409_and_posts_no_more": WAITS,
    "a_child_that_its_parent_went_on_without_is_redriven_alone": WAITS,
    "a_later_attempt_of_a_cancelled_run_posts_nothing": WAITS,
    "the_sequence_diagram": WAITS,
    "64_simultaneous_first_posts_call_once": WAITS,
    "user_creation_is_played_as_it_was_drawn": WAITS,
    "a_timer_ends_after_its_delay": STANDS,
    "a_step_that_failed_after_its_run_had_succeeded_is_redriven": STANDS,
    "the_attempt_timeout_is_total_and_retried": LASTS,
    "the_deadline_cuts_an_attempt_off": LASTS,
    "a_list_says_how_far_each_run_is_when_asked": ORDERS,
    "a_status_is_found_while_it_lasts": ORDERS,
    "dead_letters_have_pages_and_filters": ORDERS,
    "each_filter_of_the_list_counts": ORDERS,
    "pages_show_every_run_once": ORDERS,
    "runs_are_listed_newest_first_without_payloads": ORDERS,
    "times_cut_at_the_millisecond": ORDERS,
    "stats_count_runs_and_live_steps": SLEEPS,
    "a_delayed_start_is_made_now": ACTS,
    "a_retry_is_made_now": ACTS,
    "a_retry_that_is_made_now_uses_the_retries_as_always": ACTS,
    "a_sleep_is_skipped": ACTS,
    "a_sleep_that_ends_while_it_is_skipped_ends_once": ACTS,
    "a_start_is_moved_to_another_time": ACTS,
    "a_start_that_is_moved_later_waits": ACTS,
    "limits_stay_when_a_step_is_moved": ACTS,
    "what_waits_for_no_moment_is_not_moved": ACTS,
    "a_moment_that_cannot_be_is_refused": ACTS,
    "only_the_last_start_of_a_burst_runs": ACTS,
    "callers_of_a_burst_get_the_answer_of_the_last_one": ACTS,
    "a_burst_ends_after_its_longest_time": ACTS,
    "a_start_after_the_burst_has_begun_is_a_burst_of_its_own": ACTS,
    "an_operator_ends_the_quiet_time_of_a_burst": ACTS,
    "one_in_line_waits_for_a_run_that_is_not": STANDS,
}
OPEN = {name_of(scenario): scenario for scenario in scenarios_for(locked=False)}


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    virtual = AtomicServer(tmp_path_factory.mktemp("virtual") / "data", f"--virtual-time={START}")
    virtual.start()
    yield virtual
    assert virtual.stop() == 0


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedServer]:
    locked = LockedServer(tmp_path_factory.mktemp("locked") / "data")
    locked.server.start()
    yield locked
    assert locked.server.stop() == 0


@pytest.mark.parametrize("name", sorted(OPEN.keys() - IN_REAL_TIME.keys()))
def test_in_virtual_time(virtual: AtomicServer, name: str) -> None:
    async def main() -> None:
        async with virtual_runtime_on(virtual) as runtime:
            await OPEN[name](runtime)

    asyncio.run(main())


@pytest.mark.parametrize("name", IN_REAL_TIME)
def test_in_real_time(server: AtomicServer, name: str) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            await OPEN[name](runtime)

    asyncio.run(main())


@pytest.mark.parametrize("scenario", scenarios_for(locked=True), ids=name_of)
def test_locked(locked: LockedServer, scenario: Scenario) -> None:
    async def main() -> None:
        async with locked.runtime() as runtime:
            await scenario(runtime)

    asyncio.run(main())
