"""What handlers post has a function of its own: without environments for it, runs start all the same."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import botocore.session

from atomic.testing import ApiReply
from e2e_aws.aws_runtime import AwsStack
from scenarios.runtime import answer_ok
from scenarios.starts import PROBLEM, document


@contextmanager
def without_environments(function: str) -> Iterator[None]:
    """Let Lambda refuse every invocation of the function whose logical id this is."""
    functions = botocore.session.get_session().create_client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    names = [each["FunctionName"] for page in pages for each in page["Functions"]]
    [name] = [each for each in names if f"-{function}-" in each]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        functions.delete_function_concurrency(FunctionName=name)


def test_steps_are_refused_and_runs_are_not(stack: AwsStack) -> None:
    async def main() -> None:
        async with stack.runtime() as runtime, asyncio.timeout(120):
            root = await runtime.finish(document(runtime.endpoint("/root", answer_ok)))
            step = document(runtime.endpoint("/step", answer_ok), parent=root.json["id"])

            async def post() -> ApiReply:
                # The gateway's own answer is none of this API's, so the runtime would refuse it.
                given = {"Authorization": f"Bearer {runtime.keys[runtime.client]}"}
                target = f"/{runtime.client}/steps"
                return await runtime._send("POST", target, body=json.dumps(step).encode(), headers=given)

            with without_environments("StepsFunction"):
                refused = await post()
                # What the SDK takes for a refusal, and reports as such.
                assert refused.status in {429, 500, 502, 503}
                assert refused.headers["content-type"] != PROBLEM
                again = document(runtime.endpoint("/again", answer_ok), key="k-2")
                assert (await runtime.finish(again)).status == 200

            async def is_taken() -> bool:
                return (await post()).status == 200

            await runtime.until(is_taken)
            assert len(runtime.calls(step["stepInvokeUrl"])) == 1

    asyncio.run(main())
