"""`idempotent` on DynamoDB: key, answer and effect are written in one transaction."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from atomic.sdk.dynamodb import idempotent
from sdk.calls import call_of
from sdk.tables import tables

CALL = call_of("https://app.example/accounts?x=1")


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with tables("keys", "accounts") as client:
        yield client


def opening(number: str) -> tuple[dict[str, str], list[Any]]:
    """An effect: create the account of that number, which must not exist yet."""
    item = {"id": {"S": number}, "owner": {"S": "ada"}}
    put = {"TableName": "accounts", "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
    return {"number": number}, [{"Put": put}]


def accounts(dynamodb: Any) -> list[str]:
    """The numbers of existing accounts."""
    return sorted(item["id"]["S"] for item in dynamodb.scan(TableName="accounts")["Items"])


def test_the_second_call_gets_the_first_answer(dynamodb: Any) -> None:
    for number in ("1", "2"):
        answer = idempotent(dynamodb, CALL, lambda number=number: opening(number), table="keys")
        assert answer == {"number": "1"}
    assert accounts(dynamodb) == ["1"]


def test_other_keys_endpoints_and_scopes_are_other_effects(dynamodb: Any) -> None:
    others = [
        (CALL, None),
        (replace(CALL, idempotency_key="k#2"), None),
        (replace(CALL, url="https://app.example/b"), None),
        (CALL, "mine"),
    ]
    for number, (call, scope) in enumerate(others):
        idempotent(dynamodb, call, lambda n=number: opening(str(n)), table="keys", scope=scope)
    assert accounts(dynamodb) == ["0", "1", "2", "3"]


def test_an_effect_that_may_not_be_leaves_no_key(dynamodb: Any) -> None:
    idempotent(dynamodb, replace(CALL, idempotency_key="other"), lambda: opening("1"), table="keys")
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        idempotent(dynamodb, CALL, lambda: opening("1"), table="keys")
    assert len(dynamodb.scan(TableName="keys")["Items"]) == 1
    assert idempotent(dynamodb, CALL, lambda: opening("2"), table="keys") == {"number": "2"}


def test_of_calls_at_once_one_has_an_effect_and_all_have_its_answer(dynamodb: Any) -> None:
    together = threading.Barrier(6)
    answers: list[Any] = []

    def call(number: str) -> None:
        def effect() -> tuple[Any, list[Any]]:
            together.wait(timeout=30)  # all calls have looked for the key, and found none
            return opening(number)

        answers.append(idempotent(dynamodb, CALL, effect, table="keys"))

    threads = [threading.Thread(target=call, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [number] = accounts(dynamodb)
    assert answers == [{"number": number}] * 6


def test_an_answer_without_json_writes_nothing(dynamodb: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        idempotent(dynamodb, CALL, lambda: (float("nan"), opening("1")[1]), table="keys")
    assert accounts(dynamodb) == []


def test_names_and_answers_may_be_as_long_as_atomic_lets_them_be(dynamodb: Any) -> None:
    calls = [replace(CALL, url=f"https://app.example/{'long' * 1000}{end}") for end in "ab"]
    for number, call in enumerate(calls):
        for _ in range(2):
            got = idempotent(
                dynamodb, call, lambda n=number: ("é" * 120_000, opening(str(n))[1]), table="keys"
            )
            assert got == "é" * 120_000
    assert accounts(dynamodb) == ["0", "1"]
    sizes = [len(item["answer"]["S"].encode()) for item in dynamodb.scan(TableName="keys")["Items"]]
    assert max(sizes) < 256 * 1024
