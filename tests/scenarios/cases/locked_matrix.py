"""The access matrix: two clients on every path and method, and every scope on every route."""

from atomic.domain.clients.client import has_scope
from atomic.entrypoints.http_api.routes import ROUTES
from scenarios.asking import (
    NAMES,
    VERBS,
    client_paths,
    guarded,
    key_id,
    operations,
    send,
    start_as,
    visible,
)
from scenarios.locked_clients import OPERATED, OPERATOR, SCOPED, scoped
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import Gate, document

UNKNOWN_RUN = "run_" + "f" * 32
MANAGER = scoped("managed-keys")


async def scenario_what_belongs_to_others_is_the_404_of_what_is_not_there(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/app/foreign", gate)
    foreign = (await start_as(runtime, "beta", document(url, key="foreign-1"), "respond-async")).json
    theirs = (foreign["runId"], foreign["id"], key_id(runtime.keys["beta"]))
    unknown = (UNKNOWN_RUN, f"{UNKNOWN_RUN}-root", "0" * 12)
    asked = [
        *(each for client in ("beta", "nobody", "ALPHA") for each in operations(client, *theirs)),
        *operations("beta", *unknown),
        *(
            (method, target)
            for ids in (theirs, unknown, ("x", "x", "x"))
            for method, target in operations("alpha", *ids)
            # A schedule that is put belongs to who puts it, and a workflow needs no runs to be paused.
            if target.count("/") > 2 and method != "PUT" and "/workflows/" not in target
        ),
    ]

    replies = [await send(runtime, method, target, url) for method, target in asked]
    # A key that manages its own client can manage neither another client nor another client's keys.
    replies += [
        await send(runtime, method, target, url, key_of=MANAGER)
        for method, target in (*operations("beta", *theirs), *operations("managed-keys", *theirs))
        # A retention that there is not may be deleted.
        if (method == "DELETE" and "/workflows/" not in target) or target.startswith("/beta")
    ]
    replies += [
        await runtime.start(document(url, key="foreign-2", parent=parent))
        for parent in (theirs[1], unknown[1])
    ]
    replies.append(await runtime.get("/nothing"))

    assert {reply.status for reply in replies} == {404}
    assert len({(reply.body, tuple(sorted(visible(reply).items()))) for reply in replies}) == 1
    still = await runtime.request("GET", f"/beta/steps/{foreign['id']}", key_of="beta")
    assert still.json["status"] in {"pending", "running", "retrying"}
    assert still.json["generation"] == 1
    gate.open()


async def scenario_every_verb_of_every_path_tells_the_same_of_another_client_and_of_none(
    runtime: Runtime,
) -> None:
    url = runtime.endpoint("/app/verbs", answer_ok)
    foreign = (await start_as(runtime, "beta", document(url, key="verbs-1"))).json
    ids = {
        "runId": foreign["runId"],
        "stepId": foreign["id"],
        "keyId": key_id(runtime.keys["beta"]),
        **NAMES,
    }

    for path, served in client_paths():
        for verb in VERBS:
            theirs = await send(runtime, verb, path.format(clientId="beta", **ids), url)
            nobodys = await send(runtime, verb, path.format(clientId="nobody", **ids), url)

            assert theirs.status == (404 if verb in served else 405), (verb, path)
            assert (theirs.status, theirs.body) == (nobodys.status, nobodys.body), (verb, path)
            assert visible(theirs) == visible(nobodys), (verb, path)
    there = await runtime.request("GET", f"/beta/runs/{foreign['runId']}", key_of="beta")
    assert (there.status, there.json["run"]["status"]) == (200, "succeeded")


async def scenario_a_key_without_the_scope_is_told_the_404_of_what_is_not_there(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/scoped", answer_ok)
    unknown = await runtime.get(f"/runs/{UNKNOWN_RUN}")
    needed = {(route.method, route.template): route.scope for route in ROUTES if route.scope}
    assert guarded() == set(needed)
    granted = set()
    opens = [(client, scoped(client), {scope}) for client, scope in SCOPED.items()]
    for client, key, scopes in (*opens, (OPERATED, OPERATOR, {"admin", "operator"})):
        there = (await start_as(runtime, client, document(url, key="scoped-1"))).json
        [call] = [seen.call for seen in runtime.calls(url) if seen.call.json["stepId"] == there["id"]]
        ids = {
            "runId": there["runId"],
            "stepId": there["id"],
            "keyId": key_id(runtime.keys[client]),
            **NAMES,
        }
        # The operation that revokes the key comes last.
        for method, template in sorted(needed, key=lambda route: route[0] == "DELETE"):
            target = template.format(clientId=client, **ids)
            reply = await send(runtime, method, target, url, key_of=key, of=call)
            if has_scope(scopes, needed[method, template]):
                granted.add((method, template))
                # No step has named the key of flow control, only some of these keys put a schedule, the
                # run is no bulk, and not every runtime can tell how endpoints do.
                absent = ("{key}", "{name}", "/bulk/", "/endpoints")
                is_missing = any(part in template for part in absent)
                nothing = {404} if is_missing else set()
                assert reply.status in {200, 201, 202, 409, *nothing}, (template, reply.body)
            else:
                assert (reply.status, reply.body) == (404, unknown.body), (key, template)
                assert visible(reply) == visible(unknown)
    assert granted == set(needed)
