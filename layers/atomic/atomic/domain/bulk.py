"""Bulk: one act on each run that fits a filter, done by a run of its own.

Atomic itself is the endpoint of that run and of its steps. Each step does a page of the list of runs, and
its result says where the next one begins. So it goes on after a crash as every workflow does.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys
from atomic.protocol.enums import BulkAction
from atomic.protocol.strict_json import canonical_json, fingerprint

# Of runs to which it could not be done, so many are named.
REFUSALS_MAX: Final = 20
# Where a page of the list of runs has ended.
Cursor = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many runs are done so far.

    `runs`: how many fitted at the beginning, None before they are counted. `is_all`: whether these are
    all. `refusals`: ids of runs, each with the reason.
    """

    runs: int | None = None
    is_all: bool = True
    done: int = 0
    skipped: int = 0
    refused: int = 0
    refusals: tuple[tuple[str, str], ...] = ()

    def add(self, run_id: str, came_of_it: bool | str) -> "Tally":
        """With one more run: it was done, it was not necessary, or why it was refused."""
        if came_of_it is True:
            return replace(self, done=self.done + 1)
        if came_of_it is False:
            return replace(self, skipped=self.skipped + 1)
        refusals = (*self.refusals, (run_id, came_of_it))[:REFUSALS_MAX]
        return replace(self, refused=self.refused + 1, refusals=refusals)


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page begins, or the next one after it; None: where the list begins, or no next one."""

    after: Cursor | None
    tally: Tally

    def to_json(self) -> bytes:
        """As the payload of a page's step, or its result."""
        tally = self.tally
        return canonical_json(
            {
                "after": self.after and list(self.after),
                "runs": tally.runs,
                "isAll": tally.is_all,
                "done": tally.done,
                "skipped": tally.skipped,
                "refused": tally.refused,
                "refusals": [{"runId": run_id, "reason": why} for run_id, why in tally.refusals],
            }
        )

    @classmethod
    def of_json(cls, text: bytes) -> "Page":
        """The page of such a text."""
        value: dict[str, Any] = orjson.loads(text)
        after = value["after"]
        return cls(
            after=None if after is None else (int(after[0]), str(after[1])),
            tally=Tally(
                runs=value["runs"],
                is_all=value["isAll"],
                done=value["done"],
                skipped=value["skipped"],
                refused=value["refused"],
                refusals=tuple((each["runId"], each["reason"]) for each in value["refusals"]),
            ),
        )


FIRST_PAGE: Final = Page(None, Tally())


def workflow_of(action: BulkAction) -> str:
    """The workflow name of such a bulk's run."""
    return keys.OF_BULKS + action


def bulk_spec(
    client_id: str, action: BulkAction, key: str, payload: bytes, *, retention_ms: int
) -> StepSpec:
    """The root of a bulk. Its attempts are short ones, whatever is usual for others."""
    workflow_name = workflow_of(action)
    run_id = keys.run_id(client_id, workflow_name, key)
    return StepSpec(
        client_id=client_id,
        run_id=run_id,
        identity=keys.identity(client_id, workflow_name, "", "", "", key),
        workflow_name=workflow_name,
        url="",
        idempotency_key=key,
        payload=payload,
        fingerprint=fingerprint(payload),
        retention_ms=retention_ms,
        trace_id=keys.trace_of(run_id),
    )


def page_spec(root: Step, number: int, page: Page) -> StepSpec:
    """The step that does the page of this number, from 1."""
    payload = page.to_json()
    spec = replace(
        root.spec,
        step_name="page",
        idempotency_key=f"page-{number}",
        payload=payload,
        fingerprint=fingerprint(payload),
    )
    return spec.below_root()
