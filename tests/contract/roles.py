"""The roles of template.yaml, held against the calls that functions make on moto.

Emulators ignore `dynamodb:LeadingKeys`, so policies are evaluated here: actions, resources, conditions.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from botocore.exceptions import ClientError

from policies import policies_of
from stack_template import several

READS: Final = {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}


@dataclass(frozen=True, slots=True)
class Request:
    """What AWS asks a role: may it do this, to that, under these condition keys."""

    action: str
    resource: str
    context: dict[str, list[str]] = field(default_factory=dict)


def allows(role: str, request: Request) -> bool:
    """Whether a role's policies allow the request, and none denies it."""
    effects = {each["Effect"] for each in policies_of(role) if _applies(each, request)}
    return effects == {"Allow"}


def prefix_of(key: str) -> str:
    """The beginning of a partition key, by which roles tell items apart."""
    return key[: key.index("_" if key.startswith("run_") else "#") + 1]


def _applies(statement: dict[str, Any], request: Request) -> bool:
    return (
        any(fnmatchcase(request.action, each) for each in several(statement["Action"]))
        and any(fnmatchcase(request.resource, each) for each in several(statement["Resource"]))
        and all(
            _holds(operator, key, several(wanted), request.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: list[str], context: dict[str, list[str]]) -> bool:
    given = context.get(key, [])
    if operator == "ForAllValues:StringLike":
        return all(any(fnmatchcase(value, each) for each in wanted) for value in given)
    assert operator == "StringEquals", operator
    return len(given) == 1 and given[0] in wanted


def requests_of(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """What a call asks for. An operation that is not known here is a KeyError."""
    yield from {
        "BatchGetItem": _batch, "TransactWriteItems": _transaction, "SendMessage": _message,
        "SendMessageBatch": _message,
        "ChangeMessageVisibility": _message, "CreateSchedule": _schedule,
        "GetObject": _object, "PutObject": _object, "CopyObject": _copy,
        "GetItem": _item, "PutItem": _item, "UpdateItem": _item, "DeleteItem": _item, "Query": _query,
    }[operation](operation, params)  # fmt: skip


def _of_table(operation: str, table: str, keys: Iterable[str], index: str = "") -> Iterator[Request]:
    resource = f"arn:aws:dynamodb:eu-central-1:123456789012:table/{table}{index}"
    yield Request(f"dynamodb:{operation}", resource, {"dynamodb:LeadingKeys": list(keys)})


def _item(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    key = params.get("Key", params.get("Item"))
    yield from _of_table(operation, params["TableName"], [key["pk"]["S"]])  # type: ignore[index]


def _query(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    found = re.match(r"\w+ = (:\w+)", params["KeyConditionExpression"])
    assert found, params
    key = params["ExpressionAttributeValues"][found[1]]["S"]
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    yield from _of_table(operation, params["TableName"], [key], index)


def _batch(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    for table, asked in params["RequestItems"].items():
        yield from _of_table(operation, table, [key["pk"]["S"] for key in asked["Keys"]])


def _transaction(_: str, params: dict[str, Any]) -> Iterator[Request]:
    for each in params["TransactItems"]:
        [(kind, item)] = each.items()
        yield from _item(f"{kind}Item", item)


def _message(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    queue = params["QueueUrl"].rpartition("/")[2]
    yield Request(
        f"sqs:{operation.removesuffix('Batch')}", f"arn:aws:sqs:eu-central-1:123456789012:{queue}"
    )


def _object(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    yield Request(f"s3:{operation}", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")


def _copy(_: str, params: dict[str, Any]) -> Iterator[Request]:
    yield from _object("GetObject", params["CopySource"])
    yield from _object("PutObject", params)


def _schedule(_: str, params: dict[str, Any]) -> Iterator[Request]:
    name = f"{params['GroupName']}/{params['Name']}"
    yield Request(
        "scheduler:CreateSchedule", f"arn:aws:scheduler:eu-central-1:123456789012:schedule/{name}"
    )
    service = {"iam:PassedToService": ["scheduler.amazonaws.com"]}
    yield Request("iam:PassRole", params["Target"]["RoleArn"], service)


@contextmanager
def within(role: str, *clients: Any) -> Iterator[list[Request]]:
    """Refuse what the role does not allow, as AWS does, and fail at the end if anything was refused.

    Gives what was asked for, in order.
    """
    asked: list[Request] = []

    def check(params: dict[str, Any], model: Any, **_: Any) -> None:
        for request in requests_of(model.name, params):
            asked.append(request)
            if not allows(role, request):
                error = {"Error": {"Code": "AccessDeniedException", "Message": str(request)}}
                raise ClientError(error, model.name)  # type: ignore[arg-type]

    for client in clients:
        client.meta.events.register("provide-client-params.*.*", check, unique_id="role")
    yield asked
    assert [request for request in asked if not allows(role, request)] == []
