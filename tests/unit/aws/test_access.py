"""The roles of template.yaml allow what `entrypoints.aws.access` says, and no more."""

import pytest

from atomic.adapters.aws import table
from atomic.entrypoints.aws.access import ACCESS
from contract.aws import TABLE_NAME
from contract.roles import READS, Request, allows
from policies import policies_of
from stack_template import FUNCTIONS, several, target_of

PREFIXES = (
    table.RUN,
    table.CLIENT,
    table.KEY,
    table.RATE,
    table.STORED,
    table.LEASE,
    table.TAG,
    table.COUNT,
    table.ENDED,
    table.SCHEDULE,
    table.FLOW,
    table.LINE,
    table.POINTER,
    table.ACTS,
    table.HOURS,
)
ACTIONS = {
    *READS, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem",
    "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate", "dynamodb:PartiQLDelete",
}  # fmt: skip
TABLE_ARN = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{TABLE_NAME}"


def asks(action: str, *prefixes: str, resource: str = TABLE_ARN) -> Request:
    return Request(action, resource, {"dynamodb:LeadingKeys": [f"{prefix}acme" for prefix in prefixes]})


def test_every_function_is_in_the_table_of_access() -> None:
    assert {target_of(function["Role"]) for function in FUNCTIONS.values()} == set(ACCESS)


@pytest.mark.parametrize("role", ACCESS)
def test_a_role_allows_what_its_function_does_and_no_more(role: str) -> None:
    allowed = {
        (action, prefix) for action in ACTIONS for prefix in PREFIXES if allows(role, asks(action, prefix))
    }
    assert {prefix for action, prefix in allowed if action in READS} == ACCESS[role].reads
    assert {prefix for action, prefix in allowed if action not in READS} == ACCESS[role].writes
    deleted = {prefix for action, prefix in allowed if action == "dynamodb:DeleteItem"}
    assert deleted == ACCESS[role].deletes
    assert not any(allows(role, asks(action, "unknown#")) for action in ACTIONS)
    indexes = {
        name
        for name in ("list", "failed")
        if allows(role, asks("dynamodb:Query", resource=f"{TABLE_ARN}/index/{name}"))
    }
    assert indexes == ACCESS[role].indexes


@pytest.mark.parametrize("role", ACCESS)
def test_nobody_scans_or_takes_other_items_along(role: str) -> None:
    for action in ("Scan", "BatchWriteItem", "DeleteTable", "ExportTableToPointInTime"):
        assert not allows(role, Request(f"dynamodb:{action}", TABLE_ARN))
    for action in ACTIONS:
        assert not allows(role, asks(action, table.RUN, "unknown#"))


@pytest.mark.parametrize("role", ACCESS)
def test_only_who_erases_runs_deletes_rows_and_objects(role: str) -> None:
    # The short invoker makes the attempts of bulks.
    may = role in {"ApiRole", "InvokerRole"}
    assert (table.RUN in ACCESS[role].deletes) is may
    assert allows(role, Request("s3:DeleteObject", "arn:aws:s3:::atomic-payloads/64-days/x")) is may


def test_a_function_passes_the_role_of_its_schedules_to_the_scheduler_alone() -> None:
    passing = [
        each for role in ACCESS for each in policies_of(role) if "iam:PassRole" in several(each["Action"])
    ]
    assert passing
    for statement in passing:
        assert statement["Resource"] == "arn:aws:iam::123456789012:role/scheduler"
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}
        }


@pytest.mark.parametrize("role", ["InvokerRole", "LongInvokerRole"])
def test_a_stolen_invoker_reads_clients_and_changes_neither_clients_nor_keys(role: str) -> None:
    assert allows(role, asks("dynamodb:GetItem", table.CLIENT))
    for action in ACTIONS - READS:
        assert not allows(role, asks(action, table.CLIENT))
    for action in ACTIONS:
        assert not allows(role, asks(action, table.KEY))
    # One client after the other, by a name that must be known: it cannot list them.
    index, wanted = f"{TABLE_ARN}/index/list", table.CLIENTS_PARTITION
    assert not allows(role, Request("dynamodb:Query", index, {"dynamodb:LeadingKeys": [wanted]}))


@pytest.mark.parametrize("role", ACCESS)
def test_who_reads_objects_is_told_that_one_is_missing(role: str) -> None:
    """S3 answers 403 to a role without s3:ListBucket, as if the object were there."""
    assert allows(role, Request("s3:ListBucket", "arn:aws:s3:::atomic-payloads"))
