"""A probe: the call that the first attempt of a start would make, without a step and without a retry."""

import asyncio
from dataclasses import dataclass, replace

from atomic.application.attempts import endpoint_request
from atomic.application.engine import Engine
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import EndpointResponse, StepError, classify
from atomic.domain.steps import StepSpec
from atomic.domain.transitions import begin
from atomic.protocol import keys


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of the call: the endpoint's status, the error if there is one, and the duration."""

    status: int | None
    error: StepError | None
    duration_ms: int


async def probe(engine: Engine, client: Client, spec: StepSpec) -> Probed | None:
    """Call the endpoint, signed like an attempt; None when its destination gives no permit."""
    permit = await engine.admission.permit(spec, is_probe=True)
    if permit is None:
        return None
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with permit:
        timeout_ms = min(spec.attempt_timeout_ms, engine.settings.attempt_timeout_default_ms)
        at_once = replace(
            spec, delay_ms=0, start_at_ms=None, start_by_ms=None, attempt_timeout_ms=timeout_ms
        )
        step = begin(at_once, keys.ROOT, engine.clock.now_ms(), engine.entropy.token())
        # A step of this identity may exist: its token is for its own attempts only.
        called_by = replace(client, attempt_keys=())
        request = replace(endpoint_request(engine, step, called_by), is_probe=True)
        answer = await engine.invoker.post(request)
        if permit.observer is not None:
            permit.observer.ended(answer, engine.clock.wall_ms)
    duration_ms = round((loop.time() - began_s) * 1000)
    return Probed(answer.status, await _error(engine, spec, answer), duration_ms)


async def _error(engine: Engine, spec: StepSpec, answer: EndpointResponse) -> StepError | None:
    if answer.not_made is not None:
        return answer.not_made.error
    outcome = await engine.large_bodies.read(
        spec.client_id, len(answer.body), lambda: classify(answer, spec.retry, engine.clock.wall_ms())
    )
    return outcome.error
