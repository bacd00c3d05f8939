"""Effects that happen once for each step, in the step author's own DynamoDB tables.

One transaction writes the key, the answer and the effect, so either all or none of them exist, and a second
call finds the answer. This module does not import boto3: you pass your own client.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from atomic.sdk._calls.call import Call
from atomic.sdk._wire.values import jsonable
from atomic.sdk.idempotency import name_of

_ID, _ANSWER = "id", "answer"
_IS_NEW: Final = f"attribute_not_exists({_ID})"


def idempotent(
    dynamodb: Any,
    call: Call,
    effect: Callable[[], tuple[Any, Sequence[Any]]],
    *,
    table: str,
    scope: str | None = None,
) -> Any:
    """Write an effect once for the step of this call; later calls get the result of the first one.

    - `dynamodb`: `boto3.client("dynamodb")`.
    - `call`: the call that the step got.
    - `effect`: a function without arguments that returns a value with a JSON form, and up to 99 members of
      a TransactWriteItems (such as {"Put": …}), which are written here. It may be called again, so it must
      have no other effect.
    - `table`: the table of the keys, whose partition key is a string named "id".
    - `scope`: tells effects of one step apart (default: the path of the endpoint's URL).

    Returns the result of the first call, in its JSON form. One transaction writes it with the effect's
    items.

    Raises ValueError when the result has no JSON form, and the client's TransactionCanceledException when a
    condition of your own writes does not hold or another transaction is at work on the same items: answer
    with an error, and the next attempt tries again.
    """
    name = {_ID: {"S": name_of(call, scope)}}
    found = dynamodb.get_item(TableName=table, Key=name, ConsistentRead=True).get("Item")
    if found is not None:
        return json.loads(found[_ANSWER]["S"])
    result, writes = effect()
    answer = jsonable(result)
    item = {**name, _ANSWER: {"S": _compact(answer)}}
    claim = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": _IS_NEW,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        dynamodb.transact_write_items(TransactItems=[{"Put": claim}, *writes])
    except dynamodb.exceptions.TransactionCanceledException as cancelled:
        # Another call with this key was faster, so its effect counts.
        first = cancelled.response.get("CancellationReasons", [{}])[0].get("Item")
        if first is None:
            raise
        return json.loads(first[_ANSWER]["S"])
    return answer


def _compact(answer: Any) -> str:
    # An item may have 400 KB. With characters outside ASCII escaped, the longest answer would exceed this.
    return json.dumps(answer, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
