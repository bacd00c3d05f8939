"""A workflow of Lambda functions: the embedded server invokes the SDK's adapter by Lambda's own API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from atomic import Client
from atomic.sdk.aws_lambda import Call, Context, Endpoints
from fake_lambda import ENVIRONMENT, FakeLambda, fake_lambda
from scenarios.embedded_runtime import AtomicServer

URL = "lambda:shop:prod/orders/place"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLambda]:
    with fake_lambda() as (at, fake):
        settings = {**ENVIRONMENT, "AWS_ENDPOINT_URL_LAMBDA": at, "ATOMIC_LAMBDA_TARGETS": "true"}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.mark.parametrize("is_checked", [True, False], ids=["signatures checked", "unchecked"])
def test_functions_call_each_other(aws: FakeLambda, tmp_path: Path, is_checked: bool) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()
    secret = (server.data_dir / "dev-signing-secret").read_text().strip()
    with Client(server.url) as client:
        orders = Endpoints("/orders", client=client, secrets=[secret] if is_checked else None, wait=5)
        called = []

        @orders.step
        def pay(amount: int, call: Call) -> str:
            called.append((call.url, call.attempt))
            if call.attempt == 1:
                raise RuntimeError("the bank is down")
            return f"paid {amount}"

        @orders.workflow
        def place(ctx: Context, amount: int) -> list[str]:
            return [ctx.step(pay, amount, retry=3), ctx.run("number", lambda: "7")]

        aws.functions["shop:prod"] = orders
        placed = client.start("order", URL, 42, key="1", timeout=30)
        run = client.get(placed.run_id)
        refused = client.start("order", "lambda:elsewhere", 1, key="2", timeout=0, retry=0)

        server.stop()
    assert placed.response == ["paid 42", "7"]
    # Siblings are found beside the function that called them.
    assert called == [("lambda:shop:prod/orders/pay", 1), ("lambda:shop:prod/orders/pay", 2)]
    assert {step.step_invoke_url for step in (run.root, *run.steps)} >= {URL, called[0][0]}
    assert refused.status in {"running", "failed"}
