import restate
from effects import insert, send, track

users = restate.Workflow("users")
RETRY = restate.RunOptions(max_attempts=11)


@users.main()
async def create(ctx: restate.WorkflowContext, name: str):
    user = await ctx.run_typed("insert", insert, RETRY, name)
    sent, tracked = ctx.run_typed("send", send, RETRY, user), ctx.run_typed("track", track, RETRY, user)
    await restate.gather(sent, tracked)
    return {"user": user, "mail": await sent}


app = restate.app([users])
