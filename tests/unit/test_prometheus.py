"""The metrics of `/metrics`, read by the library's own parser."""

import os
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from atomic.adapters.prometheus.machine import Machine
from atomic.adapters.prometheus.telemetry import OTHERS, WORKFLOWS_MAX, PrometheusTelemetry
from atomic.protocol.enums import Status
from contract.builders import a_child, settled
from contract.store_suite import keyed
from unit.strategies import NOW, PERMANENT, RETRYABLE, SUCCEEDED, ended, running


def shown(telemetry: PrometheusTelemetry) -> dict[str, float]:
    """The samples by name and labels."""
    families = text_string_to_metric_families(telemetry.exposition().decode())
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_step_is_counted_from_its_start_to_its_end() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.found_live(5)
    failed = ended(running(), PERMANENT, NOW + 26)
    for step in (ended(running(), SUCCEEDED, NOW + 25), failed, ended(running(), RETRYABLE, NOW + 1)):
        telemetry.started(step)
        telemetry.attempt_ended(step, step.attempt_log[-1])
        if step.is_settled:
            telemetry.settled(step)
    found = shown(telemetry)
    assert found["atomic_starts_total"] == 3
    assert found["atomic_live_steps"] == 5 + 3 - 2
    assert found["atomic_retries_total"] == found["atomic_dead_letters_total"] == 1
    counted = {
        kind: found[f"atomic_attempts_total {kind}"] for kind in ("succeeded", "permanent", "retryable")
    }
    assert counted == {"succeeded": 1, "permanent": 1, "retryable": 1}
    assert found["atomic_attempts_total no_answer"] == 0
    assert (found["atomic_run_seconds_count"], found["atomic_step_seconds_count"]) == (2, 0)
    assert found["atomic_steps_deferred_total"] == 0
    telemetry.deferred(failed)
    assert shown(telemetry)["atomic_steps_deferred_total"] == 1
    telemetry.reopened(failed)
    assert shown(telemetry)["atomic_live_steps"] == 7


def test_a_bucket_holds_what_took_as_long_or_less() -> None:
    telemetry = PrometheusTelemetry()
    for lag_ms in (0, 5, 6, 1000, 1001, 90_000_000):
        telemetry.lagged(lag_ms)
    found = shown(telemetry)
    buckets = {bound: found[f"atomic_schedule_lag_seconds_bucket {bound}"] for bound in ("0.005", "0.01")}
    assert buckets == {"0.005": 2, "0.01": 3}
    assert found["atomic_schedule_lag_seconds_bucket 1.0"] == 4
    assert found["atomic_schedule_lag_seconds_bucket 86400.0"] == 5
    assert found["atomic_schedule_lag_seconds_bucket +Inf"] == 6
    assert found["atomic_schedule_lag_seconds_count"] == 6
    assert found["atomic_schedule_lag_seconds_sum"] == 90_002.012


def test_runs_are_counted_by_workflow() -> None:
    telemetry = PrometheusTelemetry()
    root = keyed("k", workflow_name="order")
    child = a_child("mail", root.spec)
    for step in (root, child):
        telemetry.started(step)
    retrying = ended(running(workflow_name="order"), RETRYABLE, NOW + 1)
    telemetry.attempt_ended(retrying, retrying.attempt_log[-1])
    telemetry.settled(settled(child, 2_000))
    telemetry.settled(settled(root, 3_500))
    telemetry.settled(settled(keyed("b", workflow_name="report"), 2_000, Status.FAILED))
    found = shown(telemetry)
    by_name = {name: value for name, value in found.items() if name.startswith("atomic_workflow")}
    assert {name: value for name, value in by_name.items() if value} == {
        "atomic_workflow_runs_started_total order": 1,
        "atomic_workflow_runs_ended_total succeeded order": 1,
        "atomic_workflow_retries_total order": 1,
        "atomic_workflow_succeeded_seconds_total order": 2.5,
        "atomic_workflow_runs_ended_total failed report": 1,
    }
    assert len(by_name) == 2 * 6


def test_the_series_of_workflows_are_bounded() -> None:
    telemetry = PrometheusTelemetry()
    for number in range(WORKFLOWS_MAX + 3):
        telemetry.started(keyed("k", workflow_name=f"w-{number}"))
    telemetry.started(keyed("k", workflow_name="w-0"))
    found = shown(telemetry)
    assert found["atomic_workflow_runs_started_total w-0"] == 2
    assert found[f"atomic_workflow_runs_started_total {OTHERS}"] == 3
    assert f"atomic_workflow_runs_started_total w-{WORKFLOWS_MAX}" not in found


def test_a_scrape_reads_the_process_and_the_disk_of_its_data(tmp_path: Path) -> None:
    telemetry = PrometheusTelemetry(machine=Machine(tmp_path))
    before = shown(telemetry)
    assert time.time() - 60 < before["process_start_time_seconds"] <= time.time()
    assert 10 << 20 < before["process_resident_memory_bytes"] < 10 << 30
    assert before["process_max_fds"] > before["process_open_fds"] > 2
    assert 0 < before["atomic_data_disk_free_bytes"] < before["atomic_data_disk_size_bytes"]
    opened = [os.open(tmp_path, os.O_RDONLY) for _ in range(3)]
    after = shown(telemetry)
    for descriptor in opened:
        os.close(descriptor)
    assert after["process_open_fds"] == before["process_open_fds"] + 3
    assert after["process_start_time_seconds"] == before["process_start_time_seconds"]
    assert after["process_cpu_seconds_total"] >= before["process_cpu_seconds_total"] > 0


def test_what_the_machine_does_not_tell_is_left_out(tmp_path: Path) -> None:
    found = shown(PrometheusTelemetry(machine=Machine(tmp_path / "gone", proc=tmp_path / "proc")))
    assert {name for name in found if name.startswith(("process_", "atomic_data_"))} == {
        "process_start_time_seconds", "process_cpu_seconds_total", "process_max_fds",
    }  # fmt: skip
    assert found["atomic_starts_total"] == 0
