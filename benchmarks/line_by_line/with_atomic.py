from effects import insert, send, track
from fastapi import FastAPI

from atomic import Context
from atomic.sdk.fastapi import step, workflow

app = FastAPI()
for effect in (insert, send, track):
    app.post(f"/users/{effect.__name__}")(step(effect))


@app.post("/users/create")
@workflow
def create(ctx: Context, name: str):
    user = ctx.step("insert", name, retry=10)
    mail, _ = ctx.parallel(ctx.call("send", user, retry=10), ctx.call("track", user, retry=10))
    return {"user": user, "mail": mail}
