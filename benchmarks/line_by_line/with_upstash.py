from effects import insert, send, track
from fastapi import FastAPI
from upstash_workflow import AsyncWorkflowContext
from upstash_workflow.fastapi import Serve

app = FastAPI()
serve = Serve(app)


@serve.post("/users/create", retries=10)
async def create(ctx: AsyncWorkflowContext[str]):
    user = await ctx.run("insert", lambda: insert(ctx.request_payload))
    await ctx.run("send", lambda: send(user))
    await ctx.run("track", lambda: track(user))
