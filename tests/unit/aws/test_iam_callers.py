"""Callers inside AWS: the gateway has checked their signature, and their role opens a client."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from answering import Answering
from atomic.application.audit_log import ActQuery
from atomic.domain.acts import Act
from atomic.entrypoints.aws.api import ApiFunction
from contract.aws import aws
from stack_template import RESOURCES, TEMPLATE
from unit.aws.test_handlers import environment, gateway_event

ROLE = "arn:aws:iam::123456789012:role/teams/shop"
SESSION = "arn:aws:sts::123456789012:assumed-role/shop/one"
RUN = "run_" + 32 * "e"


@dataclass
class Stack:
    """An API function and an endpoint; the client acme has the role, and other has none."""

    api: ApiFunction
    url: str
    key: str

    def ask(
        self, method: str, path: str, caller: str | None, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """A request by a caller whose signature the gateway has checked; without one by another route."""
        event = gateway_event(method, path, "" if body is None else json.dumps(body))
        event["headers"] |= {"authorization": "AWS4-HMAC-SHA256 Credential=AKID/…", **headers}
        if caller is not None:
            iam = {
                "accessKey": "AKID",
                "accountId": "123456789012",
                "userArn": caller,
                "userId": "AROA:one",
            }
            event["requestContext"]["authorizer"] = {"iam": iam}
        answer = self.api(event, None)
        return answer["statusCode"], json.loads(answer["body"])

    def start(
        self, path: str, caller: str | None, key: str = "1", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Start a step."""
        wanted = {"workflowName": "w", "stepInvokeUrl": self.url, "idempotencyKey": key}
        return self.ask("POST", path, caller, wanted, **headers)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account:
        endpoint = Answering(lambda _path, _call: (200, b'{"ok":true}'))
        account.admin().create("acme", base_urls=[endpoint.url], roles=[ROLE])
        key, _ = account.admin().create("other", base_urls=[endpoint.url])
        api = ApiFunction(environment(account))
        yield Stack(api, f"{endpoint.url}/step", key)
        endpoint.close()
        api.runtime.close()


def test_a_role_opens_its_client_without_a_key(stack: Stack) -> None:
    status, started = stack.start("/iam/acme", SESSION)
    assert (status, started["response"]) == (200, {"ok": True})
    assert stack.ask("GET", f"/iam/acme/steps/{started['id']}", SESSION)[0] == 200
    assert stack.ask("POST", f"/iam/acme/runs/{started['runId']}/cancel", SESSION)[0] == 200
    # It has the scopes of an ordinary key.
    assert stack.ask("GET", "/iam/acme/keys", SESSION)[0] == 404


@pytest.mark.parametrize(
    ("path", "caller", "expected"),
    [
        ("/iam/other", SESSION, 404),
        ("/iam/nobody", SESSION, 404),
        ("/iam/acme", SESSION.replace("/shop/", "/bank/"), 404),
        ("/iam/acme", SESSION.replace("123456789012", "210987654321"), 404),
        ("/iam/acme", ROLE, 404),
        # By the route for which the gateway checks nothing.
        ("/acme", None, 401),
        ("/iam", None, 401),
    ],
)
def test_others_are_kept_out(stack: Stack, path: str, caller: str | None, expected: int) -> None:
    status, refused = stack.start(path, caller)
    assert (status, refused["status"]) == (expected, expected)


def test_a_path_under_iam_is_nobody_s_without_the_gateway(stack: Stack) -> None:
    assert stack.start("/iam/acme", None)[0] == 404
    assert stack.ask("GET", "/iam/acme/runs", None)[0] in {401, 404}


def test_a_key_does_not_add_to_a_role(stack: Stack) -> None:
    status, _ = stack.start("/iam/other", SESSION, authorization=f"Bearer {stack.key}")
    assert status == 404


def test_a_role_gives_start_tokens_to_pages(stack: Stack) -> None:
    status, made = stack.ask("POST", "/iam/acme/start-tokens", SESSION, {"workflows": {"w": stack.url}})
    assert status == 200
    bearer = f"Bearer {made['token']}"
    status, started = stack.start("/acme", None, f"{made['keyPrefix']}1", authorization=bearer)
    assert (status, started["status"]) == (200, "succeeded")


def test_the_routes_are_an_option_and_always_signed() -> None:
    assert TEMPLATE["Parameters"]["IamRoutes"]["Default"] == "false"
    routes = {name: each for name, each in RESOURCES.items() if each["Type"] == "AWS::ApiGatewayV2::Route"}
    signed = {
        name
        for name, each in routes.items()
        if each["Properties"]["RouteKey"].partition(" ")[2][:4] == "/iam"
    }
    assert signed == {"IamRoute", "IamStepsRoute"}
    for name in (*signed, "IamPermission"):
        assert RESOURCES[name]["Condition"] == "HasIamRoutes"
    assert {routes[name]["Properties"]["AuthorizationType"] for name in signed} == {"AWS_IAM"}


def test_a_caller_of_iam_is_named_by_its_session_in_the_audit_log(stack: Stack) -> None:
    assert stack.ask("POST", f"/iam/acme/runs/{RUN}/cancel", SESSION, **{"user-agent": "aws-sdk"})[0] == 404
    [act] = stack.api.runtime.run(_acts(stack.api))
    assert (act.by_kind, act.by, act.status, act.user_agent) == ("iam", SESSION, 404, "aws-sdk")
    event = gateway_event("GET", "/", "")
    assert act.source == event["requestContext"]["http"]["sourceIp"]
    assert act.request_id == event["requestContext"]["requestId"]


async def _acts(api: ApiFunction) -> Sequence[Act]:
    return (await api.runtime.store.acts(ActQuery(client_id="acme"))).acts
