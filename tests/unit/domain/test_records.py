"""Rows written by other versions, and members that a row omits."""

import json

import pytest

from atomic.domain.records import load_step, progress_record, spec_record
from contract.builders import a_full_step, a_root


def through_json(record: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(record))


@pytest.mark.parametrize("step", [a_root(), a_full_step()], ids=["plain", "full"])
def test_a_step_comes_back_equal(step) -> None:
    spec, progress = through_json(spec_record(step)), through_json(progress_record(step))
    response = step.response and step.response.text
    assert load_step(spec, step.spec.payload, progress, response) == step


def test_members_of_a_newer_version_are_skipped() -> None:
    step = a_full_step()
    spec, progress = spec_record(step), progress_record(step)
    spec |= {"new": 1, "retry": spec["retry"] | {"new": {}}}
    attempts = [attempt | {"new": []} for attempt in progress["attempt_log"]]
    progress |= {"new": None, "attempt_log": attempts, "response": progress["response"] | {"new": 1}}
    assert load_step(spec, step.spec.payload, progress, step.response.text) == step


def test_members_that_an_older_version_did_not_know_take_their_default() -> None:
    step = a_root()
    spec, progress = spec_record(step), progress_record(step)
    for name in ("kind", "retry", "attempt_timeout_ms"):
        del spec[name]
    for name in ("version", "generation"):
        del progress[name]
    assert load_step(spec, step.spec.payload, progress, None) == step


def test_payload_and_response_are_not_in_the_records() -> None:
    step = a_full_step()
    text = json.dumps([spec_record(step), progress_record(step)], ensure_ascii=False)
    assert "Ærøskøbing" not in text
    assert "é" not in text


def test_a_promise_does_not_depend_on_a_default() -> None:
    spec = spec_record(a_root())
    assert spec["attempt_timeout_ms"] == 20_000
    assert spec["retry"]["count"] == 25
    assert "step_name" not in spec
    assert "on" not in spec["retry"]


def test_an_attempt_that_said_nothing_about_its_code_takes_no_room() -> None:
    [plain, said] = progress_record(a_full_step())["attempt_log"]
    assert plain == {"number": 1, "generation": 1, "started_at_ms": 1_000}
    assert (said["build"], said["unused_results"]) == ("abc-1", 3)
