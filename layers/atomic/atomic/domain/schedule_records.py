"""A schedule as a flat record, the same for every store. The payload of its runs is beside the record."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any, Final

from atomic.domain.blobs import at_hand
from atomic.domain.cadence import AnyOf, At, Cadence, Cron, Every
from atomic.domain.hooks import gap_record, load_gap
from atomic.domain.records import Record, bare_spec_record, load_spec
from atomic.domain.schedules import Plan, Schedule, at_moment, at_ms

_MS: Final = timedelta(milliseconds=1)
_PLAN: Final = frozenset(field.name for field in fields(Plan)) - {"cadence"}
_SCHEDULE: Final = frozenset(field.name for field in fields(Schedule)) - {"plan", "start"}
_TUPLES: Final = frozenset({"former_names", "owes"})


def schedule_record(schedule: Schedule) -> tuple[Record, bytes]:
    """The record, and the payload. Members that are None are left out."""
    members = {name: getattr(schedule, name) for name in _SCHEDULE}
    members["owes"] = [gap_record(gap) for gap in schedule.owes] or None
    plan = {name: getattr(schedule.plan, name) for name in _PLAN}
    record: Record = {
        **_given(members),
        "plan": {**_given(plan), **_cadence_record(schedule.plan.cadence)},
        "start": bare_spec_record(schedule.start),
    }
    return record, at_hand(schedule.start.payload)


def load_schedule(record: Mapping[str, Any], payload: bytes) -> Schedule:
    """The schedule of a record. Raises KeyError, TypeError or ValueError for a malformed one."""
    plan = record["plan"]
    return Schedule(
        plan=Plan(
            cadence=_cadence(plan),
            **{name: plan[name] for name in _PLAN & plan.keys()},
        ),
        start=load_spec(dict(record["start"]), payload),
        former_names=tuple(record.get("former_names", ())),
        owes=tuple(map(load_gap, record.get("owes", ()))),
        **{name: record[name] for name in (_SCHEDULE & record.keys()) - _TUPLES},
    )


def _given(members: Record) -> Record:
    return {name: value for name, value in members.items() if value is not None}


def _cadence_record(cadence: Cadence) -> Record:
    match cadence:
        case Cron():
            return {"cron": [asdict(cadence)]}
        case AnyOf(crons):
            return {"cron": [asdict(each) for each in crons]}
        case Every(period, anchor):
            return {"every": [period // _MS, at_ms(anchor)]}
        case At(instants):
            return {"at": [at_ms(each) for each in instants]}


def _cadence(record: Mapping[str, Any]) -> Cadence:
    if "cron" in record:
        crons = tuple(Cron(**each) for each in record["cron"])
        return crons[0] if len(crons) == 1 else AnyOf(crons)
    if "every" in record:
        period_ms, anchor_ms = record["every"]
        return Every(period_ms * _MS, at_moment(anchor_ms))
    moments: tuple[datetime, ...] = tuple(at_moment(each) for each in record["at"])
    return At(moments)
