"""The agent, against a scripted model and shop: in virtual time with crashes, and by its own commands."""

import asyncio
import json
from pathlib import Path
from typing import Any

from examples.commands import client_of, commands_in, open_terminal, wait_until
from examples.outside import Asked, served
from examples.virtual import ORIGIN, World, dying, play

TASK = "Refund A7, B2"
TOKENS = 500
HOUR = 3600


def call(number: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


FIRST = [call(1, "find_order", '{"number": "A7"}'), call(2, "find_order", '{"number": "B2"}')]
SECOND = [
    call(3, "refund", '{"number": "A7"}'),
    call(4, "refund", '{"number": "B2"}'),
    call(5, "find_order", '{"number": "Z9"}'),
    call(6, "find_order", '{"number": "../admin"}'),
    call(7, "delete_order", '{"number": "A7"}'),
]


class ModelAndShop:
    """A model that asks for tools twice, or for ever, and a shop that pays once for each key."""

    def __init__(self, *, never_ends: bool = False) -> None:
        self.never_ends = never_ends
        self.asked: list[list[Any]] = []
        self.refunds: dict[str, str] = {}
        self.found: list[str] = []

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        match asked.path.strip("/").split("/"):
            case ["v1", "chat", "completions"]:
                assert asked.headers["authorization"].startswith("Bearer ")
                return 200, self.answer(asked.json)
            case ["orders", number]:
                self.found.append(number)
                return (200, {"item": f"item of {number}"}) if number != "Z9" else (404, {})
            case ["refunds", number]:
                self.refunds.setdefault(asked.headers["idempotency-key"], number)
                return 200, f"paid back {number}"
        raise AssertionError(asked)

    def answer(self, question: Any) -> Any:
        """What a model answers."""
        assert [tool["function"]["name"] for tool in question["tools"]] == ["find_order", "refund"]
        assert question["tools"][0]["function"]["parameters"]["required"] == ["number"]
        messages = question["messages"]
        self.asked.append(messages)
        assert messages[0] == {"role": "user", "content": TASK}
        turn = sum(message["role"] == "assistant" for message in messages)
        message: dict[str, Any] = {"role": "assistant", "content": None}
        if self.never_ends or turn == 0:
            calls = [{**each, "id": f"{each['id']}-{turn}"} for each in FIRST] if turn else FIRST
            message["tool_calls"] = calls
        elif turn == 1:
            message["tool_calls"] = SECOND
        else:
            told = {each["tool_call_id"]: each["content"] for each in messages[-len(SECOND) :]}
            message["content"] = "; ".join(f"{tool}: {content}" for tool, content in told.items())
        return {"choices": [{"message": message}], "usage": {"total_tokens": TOKENS}}


async def with_a_person(world: World) -> str:
    """A person allows the first refund after two hours, and refuses the second one after three."""
    run = await world.client.start("agent", f"{ORIGIN}/agent/work", TASK, key="1", timeout=0)
    await asyncio.sleep(2 * HOUR)
    await world.client.signal("agent", "1", "approve call_3", True)
    await asyncio.sleep(HOUR)
    await world.client.signal("agent", "1", "approve call_4", False)
    return str(await world.until(run.id))


async def without_a_person(world: World) -> tuple[str, float]:
    """No answer comes. The time that passes is asserted too."""
    run = await world.client.start("agent", f"{ORIGIN}/agent/work", TASK, key="1", timeout=0)
    return str(await world.until(run.id)), asyncio.get_running_loop().time()


def check(said: str, outside: ModelAndShop) -> None:
    """Each tool has told the model its result or its error, and one refund was made, once."""
    told = dict(part.split(": ", 1) for part in said.split("; "))
    assert json.loads(told["call_3"]) == "paid back A7"
    assert told["call_4"] == "error: ValueError('a person has refused this')"
    assert "StepFailedError" in told["call_5"]
    assert "pattern" in told["call_6"]
    assert told["call_7"] == "error: KeyError('delete_order')"
    assert list(outside.refunds.values()) == ["A7"]


def test_a_person_allows_and_refuses() -> None:
    outside = ModelAndShop()
    said, _ = play("agent", outside, with_a_person)
    check(said, outside)
    assert outside.found == ["A7", "B2", "Z9", "Z9", "Z9"]
    assert [len(messages) for messages in outside.asked] == [1, 4, 10]


@dying
def test_the_process_dies_at_any_moment() -> None:
    _, moments = play("agent", ModelAndShop(), with_a_person)
    assert moments > 20
    for dies_at in range(1, moments + 1):
        outside = ModelAndShop()
        said, _ = play("agent", outside, with_a_person, dies_at=dies_at)
        check(said, outside)
        # The model is asked once more only if its answer was lost, and is told the same.
        assert len(outside.asked) <= 4, dies_at
        assert {len(messages) for messages in outside.asked} == {1, 4, 10}, dies_at


def test_nobody_answers_for_a_day() -> None:
    outside = ModelAndShop()
    (said, seconds), _ = play("agent", outside, without_a_person)
    assert said.count("a person has refused this") == 2
    assert 24 * HOUR < seconds < 25 * HOUR
    assert outside.refunds == {}


def test_the_budget_ends() -> None:
    outside = ModelAndShop(never_ends=True)
    (said, _), _ = play("agent", outside, without_a_person)
    assert said == "The budget is used up: 20000 tokens."
    assert len(outside.asked) == 20_000 / TOKENS


def test_by_its_commands(tmp_path: Path) -> None:
    """The application is killed while it waits for a person."""
    outside = ModelAndShop()
    with open_terminal(tmp_path) as typed, served(outside, int(typed.moved("8026"))):
        server, app, start, allow, refuse, again = commands_in("agent.py")
        typed.type(server)
        typed.type(app)
        typed.type(start)
        with client_of(typed) as client:
            [run] = client.runs()
            wait_until(lambda: len(client.get(run.run_id).steps) == 6)
            typed.kill(app)
            typed.type(allow)
            typed.type(app)
            typed.type(refuse)
            check(json.loads(typed.type(again)), outside)
    assert len(outside.asked) in {3, 4}
