"""A restart on AWS: what it costs."""

import asyncio

import orjson

from atomic.application.blobs import with_payload
from atomic.domain.blobs import INLINE_MAX_BYTES, Blob, at_hand
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.routes import handle
from contract.aws import aws
from contract.builders import a_spec, incompressible
from unit.aws.test_bill import Recorder, Runtime, answer


async def restart(runtime: Runtime, run_id: str) -> ApiResponse:
    request = ApiRequest(method="POST", path=f"/acme/runs/{run_id}/restart")
    return await handle(Api(engine=runtime.engine), request)


def test_a_restart_is_a_read_a_start_and_an_act() -> None:
    async def body() -> None:
        with aws() as account, Recorder(account.dynamodb, account.sqs) as recorder:
            runtime = Runtime(account)
            runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
            first = (await runtime.call(a_spec())).step
            recorder.calls.clear()

            made = await restart(runtime, first.spec.run_id)
            await asyncio.gather(*runtime.tasks)

            assert made.status == 202
            # The row of the run before is read, and not written. The audit log has one more.
            assert sorted(recorder.operations) == [
                "GetItem",
                *("PutItem", "PutItem"),
                "SendMessage",
                "UpdateItem",
            ]
            again = await restart(runtime, first.spec.run_id)
            assert again.headers["idempotency-replayed"] == "true"
            assert orjson.loads(again.body)["id"] == orjson.loads(made.body)["id"]

    asyncio.run(body())


def test_a_large_payload_is_stored_anew_for_the_new_run() -> None:
    async def body() -> None:
        with aws() as account:
            runtime = Runtime(account)
            runtime.invoker.handlers[a_spec().url] = answer({"id": 7})
            payload = b'"%b"' % incompressible(4 * INLINE_MAX_BYTES)
            first = (await runtime.call(a_spec(payload=payload))).step

            made = await restart(runtime, first.spec.run_id)
            await asyncio.gather(*runtime.tasks)

            root = await runtime.engine.store.get(orjson.loads(made.body)["id"])
            assert root is not None
            stored = root.spec.payload
            assert isinstance(stored, Blob)
            assert stored.step_id == root.id
            assert at_hand((await with_payload(runtime.engine.store, root)).spec.payload) == payload

    asyncio.run(body())
