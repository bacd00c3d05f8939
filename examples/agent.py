"""An AI agent: a model calls tools side by side, a person approves the dangerous ones, tokens are limited.

Run each line in a terminal of its own. MODEL_URL is a server with OpenAI's chat API, SHOP_URL is yours:

    pip install 'atomic-workflows[server,async]' fastapi uvicorn requests
    atomic serve --dev
    MODEL_URL=http://127.0.0.1:8026/v1 SHOP_URL=http://127.0.0.1:8026 uvicorn agent:app --port 9000
    atomic start agent http://127.0.0.1:9000/agent/work --key 1 --payload '"Refund A7, B2"' --timeout 0
    atomic events send agent 1 'approve call_3' true
    atomic events send agent 1 'approve call_4' false
    atomic start agent http://127.0.0.1:9000/agent/work --key 1 --payload '"Refund A7, B2"'
"""

import os
from typing import Any

import requests
from fastapi import FastAPI
from pydantic import BaseModel, Field

from atomic import StepFailedError
from atomic.sdk.fastapi import AsyncContext, Call, Endpoints

MODEL_URL = os.environ.get("MODEL_URL", "https://api.openai.com/v1")
MODEL_KEY = {"Authorization": f"Bearer {os.environ.get('MODEL_KEY')}"}
SHOP_URL = os.environ.get("SHOP_URL", "http://127.0.0.1:8026")
BUDGET = 20_000  # tokens
DANGEROUS = {"refund"}

app = FastAPI()
agent = Endpoints(app, "/agent")
http = requests.Session()
http.hooks["response"] = [lambda answer, **_: answer.raise_for_status()]  # so that errors are retried


@agent.workflow
async def work(ctx: AsyncContext, task: str) -> str:
    """Ask the model and do what it asks for, until it has an answer or the budget is used up."""
    messages: list[Any] = [{"role": "user", "content": task}]
    tokens = 0
    while tokens < BUDGET:
        told = await ctx.step(ask_model, messages, attempt_timeout=120)
        tokens += told["usage"]["total_tokens"]
        message = told["choices"][0]["message"]
        if not (calls := message.get("tool_calls")):
            return str(message["content"])
        allowed = await allowed_by_person(ctx, calls)
        answers = await ctx.gather(*[use(ctx, call, allowed) for call in calls])
        messages += [message, *answers]
    return f"The budget is used up: {tokens} tokens."


async def allowed_by_person(ctx: AsyncContext, calls: list[Any]) -> dict[str, bool]:
    """Wait for a person where a tool is dangerous. No answer within a day is a refusal."""
    asked = [call["id"] for call in calls if call["function"]["name"] in DANGEROUS]
    events = [ctx.event(f"approve {each}", result=bool, deadline=86400, default=False) for each in asked]
    return dict(zip(asked, await ctx.gather(*events), strict=True))


async def use(ctx: AsyncContext, call: Any, allowed: dict[str, bool]) -> dict[str, Any]:
    """Call one tool. The model is told of errors, too, so that it can do something else."""
    try:
        if not allowed.get(call["id"], True):
            raise ValueError("a person has refused this")
        order = Order.model_validate_json(call["function"]["arguments"])
        said = await ctx.step(TOOLS[call["function"]["name"]], order, retry=2)
    except (StepFailedError, KeyError, ValueError) as error:
        said = f"error: {error!r}"
    return {"role": "tool", "tool_call_id": call["id"], "content": said}


@agent.step
def ask_model(messages: list[Any]) -> Any:
    """Ask once. The answer is stored, so a replay does not pay for another one."""
    tools = [{"type": "function", "function": describe(tool)} for tool in TOOLS.values()]
    question = {"model": "gpt-4o", "messages": messages, "tools": tools}
    return http.post(f"{MODEL_URL}/chat/completions", json=question, headers=MODEL_KEY, timeout=110).json()


class Order(BaseModel):
    """The arguments of both tools."""

    number: str = Field(pattern=r"^\w+$")


def describe(tool: Any) -> dict[str, Any]:
    """What the model is told of a tool."""
    return {"name": tool.__name__, "description": tool.__doc__, "parameters": Order.model_json_schema()}


@agent.step
def find_order(order: Order) -> str:
    """Look up an order."""
    return http.get(f"{SHOP_URL}/orders/{order.number}", timeout=10).text


@agent.step
def refund(order: Order, call: Call) -> str:
    """Pay the price of an order back to the customer."""
    key = {"Idempotency-Key": call.step_id}  # of a repeated call, too, so that the shop pays once
    return http.post(f"{SHOP_URL}/refunds/{order.number}", headers=key, timeout=10).text


TOOLS: dict[str, Any] = {"find_order": find_order, "refund": refund}
