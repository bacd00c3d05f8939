from effects import insert, send, track
from fastapi import FastAPI

from atomic.sdk.fastapi import Context, Endpoints

app = FastAPI()
users = Endpoints(app, "/users", steps=[insert, send, track])


@users.workflow
def create(ctx: Context, name: str):
    user = ctx.step(insert, name, retry=10)
    mail, _ = ctx.gather(ctx.call(send, user, retry=10), ctx.call(track, user, retry=10))
    return {"user": user, "mail": mail}
