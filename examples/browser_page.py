"""A page that starts a run itself, and shows how far it is, with a start token in place of an API key.

Run the lines in terminals of their own, and open http://127.0.0.1:9000 in a browser:

    pip install 'atomic-workflows[server]' flask
    atomic serve --dev --allow-origin http://127.0.0.1:9000
    flask --app browser_page run --port 9000

On a server with API keys, the client lists the origin of its pages:
`atomic clients origins shop --origin https://shop.example`.
"""

import os
import time
from typing import Any

from flask import Flask, url_for

from atomic import Client
from atomic.sdk.flask import Context, Endpoints

app = Flask(__name__)
cakes = Endpoints(app, "/cakes")
atomic = Client()


@cakes.step
def mix(flavor: str) -> str:
    """The steps take some time, so that there is something to see."""
    time.sleep(0.3)
    return f"{flavor} dough"


@cakes.step
def bake(dough: str) -> str:
    """Bake the cake."""
    time.sleep(0.3)
    return f"a cake of {dough}"


@cakes.workflow
def order(ctx: Context, flavor: str) -> str:
    """What the page starts. Its input comes from a browser, so it is checked here."""
    if flavor not in {"lemon", "plum"}:
        return "no such cake"
    cake: str = ctx.step(bake, ctx.step(mix, flavor))
    return cake


@app.post("/token")
def token() -> dict[str, Any]:
    """What the page needs. A real application asks here who the user is, whose keys have a prefix."""
    url = url_for("cakes/order", _external=True)
    made = atomic.start_token({"order": url}, key_prefix="user-42:", expires_in=600, steps=True)
    at = f"{os.environ.get('ATOMIC_URL', 'http://127.0.0.1:8787')}/{atomic.client_id}"
    return {"at": at, "url": url, "token": made.token, "prefix": made.key_prefix}


@app.get("/")
def page() -> str:
    """The page: one script, without a library."""
    return PAGE


PAGE = """<!doctype html>
<title>Cakes</title>
<button id="order">Order a lemon cake</button>
<ul id="steps"></ul>
<p id="outcome"></p>
<script type="module">
const get = (id) => document.getElementById(id)

async function order() {
  const {at, url, token, prefix} = await (await fetch("/token", {method: "POST"})).json()
  const headers = {Authorization: `Bearer ${token}`, "Content-Type": "application/json"}
  // The same key again would start nothing: keep it until the outcome is shown.
  const start = {workflowName: "order", stepInvokeUrl: url, idempotencyKey: prefix + crypto.randomUUID(),
                 payload: "lemon"}
  const started = await fetch(at, {
    method: "POST", headers: {...headers, Prefer: "respond-async"}, body: JSON.stringify(start)})
  const {runId, detail} = await started.json()
  if (!started.ok) return (get("outcome").textContent = detail)
  for (;;) {
    const {root, steps} = await (await fetch(`${at}/runs/${runId}`, {headers})).json()
    get("steps").replaceChildren(...steps.map((step) => Object.assign(document.createElement("li"),
      {textContent: `${step.stepInvokeUrl.split("/").pop()}: ${step.status}`})))
    if (["succeeded", "failed", "cancelled"].includes(root.status))
      return (get("outcome").textContent = root.response ?? root.error)
    await new Promise((after) => setTimeout(after, 200))
  }
}

get("order").onclick = order
</script>
"""
