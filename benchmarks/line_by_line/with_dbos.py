from asyncio import gather

from dbos import DBOS
from effects import insert, send, track
from fastapi import FastAPI

app = FastAPI()
DBOS(config={"name": "users"})
RETRY = {"retries_allowed": True, "max_attempts": 11, "interval_seconds": 1}


@app.post("/users/create")
@DBOS.workflow()
async def create(name: str):
    user = await DBOS.run_step_async(RETRY, insert, name)
    mail, _ = await gather(DBOS.run_step_async(RETRY, send, user), DBOS.run_step_async(RETRY, track, user))
    return {"user": user, "mail": mail}


DBOS.launch()
