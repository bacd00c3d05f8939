"""The steps that a handler posted before, for its next attempt: one read, not a post for each step."""

from dataclasses import replace
from functools import partial
from typing import Final

from atomic.application import queries, reentry
from atomic.application.blobs import for_all, with_result
from atomic.domain.clients.client import Client
from atomic.entrypoints.http_api.api import Api, attempt_of
from atomic.entrypoints.http_api.callbacks import callback_member
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse, Query, read_step_id
from atomic.entrypoints.http_api.route import Operation, Routes, in_header, in_query
from atomic.entrypoints.http_api.views import json_response, results_view
from atomic.protocol import keys, problems
from atomic.protocol.problems import Problem

routes = Routes()

_STEPS_MAX: Final = 1000
_CURSOR: Final = "use the value of `next`, unchanged, with the same `parent`"


@routes.add(
    "GET",
    "/{clientId}/runs/{runId}/results",
    Operation(
        id="getResults",
        summary="Read the steps that a handler has posted",
        description="For a handler that is called again: the steps of `parent`, in the order of their ids. "
        "Those of a root include the steps that were posted without `parent`. A response is as a post "
        "of the step answers it. A page has at most 2 MB, and at least one step. Except with `id`, it may "
        "lag behind the rows.",
        headers=(in_header("Atomic-Attempt-Token", "Of an attempt of `parent`, or of the run's root."),),
        query=(
            in_query("parent", "The step whose handler asks; required.", type="string"),
            in_query("after", "The `next` of the page before.", type="string"),
            in_query("id", "Only this step, read consistently.", type="string"),
            in_query("limit", "Steps on a page.", type="integer", minimum=1, maximum=_STEPS_MAX),
        ),
        answers=((200, "Results", "A page of results."),),
        refusals=(problems.INVALID_REQUEST, problems.ATTEMPT_TOKEN_REQUIRED),
    ),
    scope="start",
)
async def get_results(api: Api, request: ApiRequest, client: Client, run_id: str) -> ApiResponse:
    """A page of the steps of one parent, with their responses."""
    query = Query(request)
    parent = query.take("parent", read_step_id, "use the id of a step, from its header Atomic-Step-Id")
    step_id = query.take("id", read_step_id, "use the id of a step")
    after = query.take("after", read_step_id, _CURSOR)
    limit = query.number("limit", _STEPS_MAX, least=1, most=_STEPS_MAX)
    query.refuse_rest()
    parent = await _may_ask_for(api, request, client, run_id, parent)
    if step_id is None:
        if after is not None and not keys.is_in_children_range(parent, after):
            raise problems.invalid("after", _CURSOR)
        page = await reentry.own_steps(api.engine, parent, after=after, limit=limit)
    else:
        if after is not None:
            raise problems.invalid("after", "one step has no pages; leave out `after` or `id`")
        _check_run("id", step_id, run_id)
        page = await reentry.own_step(api.engine, parent, step_id)
    page = replace(page, steps=await for_all(api.engine.store, page.steps, with_result))
    return json_response(200, results_view(parent, page, partial(callback_member, api, client)))


async def _may_ask_for(
    api: Api, request: ApiRequest, client: Client, run_id: str, parent: str | None
) -> str:
    """The parent, if the caller has the token of an attempt of the parent or the root. Raises Problem."""
    askers = {keys.root_of(run_id)}
    if parent is not None and keys.run_of(parent) == run_id:
        askers.add(parent)
    is_attempt = any(attempt_of(request, client, asker) for asker in askers)
    if not is_attempt:
        # Only a caller without a token costs a read of the run.
        await queries.get_root(api.engine, client, run_id)
    if parent is None:
        raise problems.invalid("parent", "required: name the step whose handler asks, its Atomic-Step-Id")
    _check_run("parent", parent, run_id)
    if not is_attempt:
        raise Problem(
            problems.ATTEMPT_TOKEN_REQUIRED,
            "Atomic-Attempt-Token: send the header of this name from the call of the handler that asks; it "
            "has to be of an attempt of `parent`, or of the root of its run.",
        )
    return parent


def _check_run(name: str, step_id: str, run_id: str) -> None:
    if keys.run_of(step_id) != run_id:
        raise problems.invalid(name, "this step belongs to another run; ask for the results of that one")
