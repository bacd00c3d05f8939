"""Percent-encoded paths, which frameworks decode: relative step URLs and signatures must still be right."""

from typing import Any
from urllib.parse import quote

from atomic.protocol.signatures import encode_secret
from atomic.sdk import Call, Context
from sdk.cases.signing import BODY, NEW, signed
from sdk.world import World

# The folders in decoded form.
FOLDERS = ("Acme Ltd", "Müller ☃", "a\\b", "100%", "a%2Fb", "a+b;v=1", "a:b@c", "(x)'", "a#b?c")


def encoded_folders() -> list[str]:
    """The folders as encoded in a URL."""
    return [quote(folder, safe="+;=:@()'") for folder in FOLDERS]


def order(ctx: Context, amount: int) -> Any:
    return ctx.step("pay", amount)


def pay(amount: int, call: Call) -> Any:
    return [amount, call.url]


def case_steps_are_beside_workflows_of_any_path(world: World) -> None:
    for folder in FOLDERS:
        world.workflow(f"/{folder}/order", order)
        world.step(f"/{folder}/pay", pay)
    for key, folder in enumerate(encoded_folders()):
        outcome = world.start(f"/{folder}/order", 5, key=str(key))
        assert outcome.response == [5, world.url(f"/{folder}/pay")]


def case_calls_of_any_path_are_known_by_their_signatures(world: World) -> None:
    for folder in FOLDERS:
        world.step(f"/{folder}/pay", lambda payload, call: call.url, secrets=[encode_secret(NEW)])
    for folder in encoded_folders():
        url = f"https://app.example/v1/{folder}/pay"
        answer = world.post(f"/{folder}/pay", BODY, signed(NEW, url=url))
        assert (answer.status_code, answer.json().endswith(f"/{folder}/pay")) == (200, True)
        other = signed(NEW, url=f"https://app.example/{folder}/x/pay")
        assert world.post(f"/{folder}/pay", BODY, other).status_code == 401
