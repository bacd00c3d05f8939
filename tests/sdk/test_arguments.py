"""Arguments of the SDK: keys, durations, payloads.

Values that the API would refuse are refused at the call.
"""

import enum
import json
import math
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from atomic import (
    Client,
    Context,
    InvalidRequestError,
    Retry,
    RetryAfter,
    SerializationError,
    StepFailedError,
)
from atomic.protocol.backoff import JITTERS, STRATEGIES
from atomic.sdk._wire.moments import lasting
from sdk.calls import Unhashable, call_of
from sdk.fake_api import fake_api
from sdk.scripted import answer, called, done
from sdk.test_clients import OK
from wording import one_of


class Kind(str, enum.Enum):  # noqa: UP042 - older code has such enumerations
    A = "a"


class Size(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("key", "text"), [("k", "k"), (5, "5"), (UUID(int=5), str(UUID(int=5))), (Kind.A, "a"), (Size.ONE, "1")]
)
def test_a_key_is_converted_to_text(key: Any, text: str) -> None:
    with fake_api(OK) as api, Client(api.url, client_id="me") as client:
        client.start("w", "https://app.example/w", key=key)
        assert api.seen[0][3]["idempotencyKey"] == text
    one, other = (Context(call_of("https://app.example/w"), Client(), 1.0) for _ in range(2))
    assert one.call("pay", key=key).id == other.call("pay", key=text).id


@pytest.mark.parametrize(
    "call",
    [
        lambda context, half: context.call("pay", key=half),
        lambda context, half: context.call("pay", name=half),
        lambda context, half: context.event(half),
        lambda context, half: context.run(half, dict),
        lambda context, half: context.version(half, 1),
    ],
)
def test_half_of_a_surrogate_pair_is_refused(call: Any) -> None:
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    with pytest.raises(InvalidRequestError, match="holds half of a surrogate pair; use whole characters"):
        call(context, "a\ud800")


@pytest.mark.parametrize("key", [None, True, 1.5, b"k", object(), ("a", 1), date(2026, 1, 1)])
def test_a_value_without_a_unique_text_is_no_key(key: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"key: use a str, an int or a UUID, not .* Change the"):
        Client().start("w", "https://app.example/w", key=key)
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    if key is not None:
        with pytest.raises(InvalidRequestError, match="key: use"):
            context.call("pay", key=key)


@pytest.mark.parametrize("given", [-5, -0.001, timedelta(seconds=-1), math.inf, math.nan, "soon", [5]])
@pytest.mark.parametrize("name", ["delay", "deadline", "attempt_timeout", "back_off", "max_back_off"])
def test_a_duration_is_finite_and_not_negative(name: str, given: Any) -> None:
    options: dict[str, Any] = {name: given}
    if name.endswith("back_off"):
        options = {"retry": Retry(**options)}
    with pytest.raises(InvalidRequestError, match=rf"^{name}: use seconds or a timedelta, 0 or more, not"):
        Client().start("w", "https://app.example/w", key="k", **options)


@pytest.mark.parametrize("given", ["soon", None, math.nan])
def test_what_a_handler_waits_for_has_a_duration(given: Any) -> None:
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    with pytest.raises(InvalidRequestError, match=r"^sleep: use seconds"):
        context.sleep(given)
    with pytest.raises(InvalidRequestError, match=r"^timeout: use seconds"):
        context.call("pay", timeout=given)


@pytest.mark.parametrize(
    ("name", "given", "cure"),
    [
        ("count", -1, "greater than or equal to 0"),
        ("factor", 0.5, "greater than or equal to 1"),
        ("strategy", "random", one_of(STRATEGIES)),
        ("jitter", "equal", one_of(JITTERS)),
        ("on", "4x", "write status codes or classes"),
        ("max_back_off", timedelta(days=400), "less than or equal to"),
    ],
)
def test_a_policy_that_the_wire_does_not_take_is_refused_at_the_call(
    name: str, given: Any, cure: str
) -> None:
    with pytest.raises(InvalidRequestError, match=rf"^retry: {name}: .*{cure}"):
        Client().start("w", "https://app.example/w", key="k", retry=Retry(**{name: given}))


@pytest.mark.parametrize("given", [3.5, "3", True, None])
def test_a_policy_is_a_retry_or_a_number(given: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^retry: use a Retry, or the number of retries, not"):
        Client().start("w", "https://app.example/w", key="k", retry=given)


def test_an_option_that_does_not_exist_is_refused() -> None:
    misspelled: dict[str, Any] = {"retires": 3}
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    with pytest.raises(InvalidRequestError, match=r"^retires: there is no such option; there are .*key"):
        context.call("pay", **misspelled)
    with pytest.raises(InvalidRequestError, match=r"^retires: there is no such option; there are retry"):
        Client().start("w", "https://app.example/w", key="k", **misspelled)
    with pytest.raises(InvalidRequestError, match=r"^retires: there is no such option; there are workflow"):
        Client().redrive_all(**misspelled)


@pytest.mark.parametrize(
    "call",
    [
        lambda context, step: context.call(step),
        lambda context, step: context.map([1], step),
        lambda context, step: context.run_workflow(step),
        lambda context, step: context.saga().step(step, undo="/undo"),
    ],
)
@pytest.mark.parametrize("step", [None, {"a": 1}, Unhashable()])
def test_a_step_is_a_url_or_a_function_that_is_served(call: Any, step: Any) -> None:
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    with pytest.raises(LookupError, match="is not served beside this workflow: give its URL"):
        call(context, step)


@pytest.mark.parametrize("other", [None, {"a": 1}])
def test_what_may_also_run_in_the_handler_is_at_least_a_function(other: Any) -> None:
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    with pytest.raises(InvalidRequestError, match=r"^check: give a step, or a function, not"):
        context.until(other, 5, every=1)
    with pytest.raises(InvalidRequestError, match=r"^submit: give a step, or a function of the URL"):
        context.callback("paid", submit=other)
    with pytest.raises(InvalidRequestError, match=r"^undo: .* is not served beside this workflow"):
        context.saga().step("/pay", undo=other)


def test_a_function_without_a_hash_runs_in_the_handler() -> None:
    def main(ctx: Context) -> Any:
        with ctx.saga() as saga:
            saga.undo(Unhashable())
        return [ctx.until(Unhashable(), every=1), ctx.callback("paid", submit=Unhashable())]

    paid = answer(200, id="run_1-x", response=7, finishedAt="2026-01-01T00:00:00.000Z", callbackUrl="/x")
    response, asked = called(main, {"check": done(True), "paid": paid})
    assert (json.loads(response.body), asked) == ([True, 7], ["check", "paid", "paid"])


def test_a_sleep_of_no_time_posts_nothing() -> None:
    planned = [lasting(given).member["delay"] for given in (-5, timedelta(days=-1), 0, 0.5)]
    assert planned == [0, 0, 0, 500]


def test_a_later_call_is_at_some_time() -> None:
    assert [RetryAfter(given).seconds for given in (5, 0.5, -1, timedelta(minutes=10))] == [5, 0.5, 0, 600]
    for never in (math.inf, math.nan):
        with pytest.raises(ValueError, match="to end the retries, raise NonRetryable"):
            RetryAfter(never)


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ("delay: it is too long", "delay: it is too long. Change the fields that the message names."),
        ("Too long.", "Too long. Change the fields that the message names."),
        ("", "Change the fields that the message names."),
    ],
)
def test_what_is_wrong_and_the_cure_are_two_sentences(detail: str, text: str) -> None:
    assert str(InvalidRequestError(detail)) == text
    assert InvalidRequestError(detail).detail == detail


def test_a_payload_is_refused_before_it_is_sent() -> None:
    with pytest.raises(
        SerializationError, match=r"^The payload of workflow 'w' cannot be stored: nan is not"
    ):
        Client().start("w", "https://app.example/w", math.nan, key="k")
    with pytest.raises(SerializationError, match=r"^The result of the event has no JSON form"):
        Client().complete("run_1-root", object())
    context = Context(call_of("https://app.example/w"), Client(), 1.0)
    with pytest.raises(
        SerializationError, match=r"^The payload of step 'pay' cannot be stored: at \['n'\]"
    ):
        context.call("pay", {"n": 2**64})


@pytest.mark.parametrize(
    ("members", "reason", "response"),
    [
        (
            {"lastError": "network: cannot connect"},
            "network: cannot connect",
            {"detail": "network: cannot connect"},
        ),
        (
            {"lastError": "the endpoint answered 500: no", "lastErrorExcerpt": "no", "response": "no"},
            "no",
            "no",
        ),
        (
            {
                "lastError": "the endpoint answered 500: no…",
                "lastErrorExcerpt": "no…",
                "response": {"detail": "no way"},
            },
            "no way",
            None,
        ),
        (
            {"lastError": "the endpoint answered 500", "response": {"detail": [1]}},
            "the endpoint answered 500",
            None,
        ),
        ({}, "", {"detail": ""}),
    ],
)
def test_why_a_step_failed(members: dict[str, Any], reason: str, response: Any) -> None:
    error = StepFailedError("It failed.", members=members)
    assert (error.reason, error.response) == (reason, response or members["response"])
