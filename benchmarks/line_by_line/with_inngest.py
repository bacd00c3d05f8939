import inngest.fast_api
from effects import insert, send, track
from fastapi import FastAPI

app = FastAPI()
client = inngest.Inngest(app_id="users")


@client.create_function(fn_id="create", trigger=inngest.TriggerEvent(event="users/create"), retries=10)
def create(ctx: inngest.ContextSync):
    user = ctx.step.run("insert", insert, str(ctx.event.data["name"]))
    effects = (lambda: ctx.step.run("send", send, user), lambda: ctx.step.run("track", track, user))
    mail, _ = ctx.group.parallel(effects)
    return {"user": user, "mail": mail}


inngest.fast_api.serve(app, client, [create])
