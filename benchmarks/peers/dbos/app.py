"""The user-creation workflow on DBOS over SQLite, its default, behind a minimal HTTP server.

Usage: python app.py PORT DIRECTORY

A step is an async function of the same process; a run's key is the id of its workflow.
"""

import asyncio
import sys
from typing import Any

import orjson
import uvicorn
from dbos import DBOS, SetWorkflowID

from asgi import answer_json, body_of

Payload = dict[str, Any]


@DBOS.step()
async def create_user(_payload: Payload) -> Payload:
    return {"ok": True}


@DBOS.step()
async def send_email(_payload: Payload) -> Payload:
    return {"ok": True}


@DBOS.step()
async def send_analytics(_payload: Payload) -> Payload:
    return {"ok": True}


@DBOS.step()
async def link(_payload: Payload) -> Payload:
    return {"ok": True}


@DBOS.workflow()
async def index(payload: Payload) -> Payload:
    await create_user(payload)
    await asyncio.gather(send_email(payload), send_analytics(payload))
    return {"ok": True}


@DBOS.workflow()
async def chain(payload: Payload) -> Payload:
    for _ in range(payload["steps"]):
        await link(payload)
    return {"ok": True}


WORKFLOWS = {"/index": index, "/chain": chain}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Run the workflow that the path names and answer with its result."""
    call = orjson.loads(await body_of(receive))
    with SetWorkflowID(call["idempotencyKey"]):
        answer = orjson.dumps(await WORKFLOWS[scope["path"]](call["payload"]))
    await answer_json(send, answer)


if __name__ == "__main__":
    port, directory = int(sys.argv[1]), sys.argv[2]
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{directory}/dbos.sqlite",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    uvicorn.run(
        application, port=port, log_level="error", access_log=False, lifespan="off", timeout_keep_alive=75
    )
