"""All routes as one table."""

from functools import partial
from typing import Final

from atomic.entrypoints.http_api import (
    actions,
    audit,
    bulk,
    callbacks,
    causes,
    clients,
    counters,
    endpoints,
    events,
    exports,
    flow,
    hooks,
    meta,
    probes,
    restarts,
    results,
    runs,
    schedules,
    starts,
    steps,
    workflow_pauses,
    workflow_retentions,
)
from atomic.entrypoints.http_api.api import Table, answer

ROUTES: Final = (
    *starts.routes,
    *probes.routes,
    *steps.routes,
    *events.routes,
    *callbacks.routes,
    *results.routes,
    *flow.routes,
    *endpoints.routes,
    *runs.routes,
    *counters.routes,
    *exports.routes,
    *causes.routes,
    *schedules.routes,
    *hooks.routes,
    *actions.routes,
    *restarts.routes,
    *bulk.routes,
    *workflow_retentions.routes,
    *workflow_pauses.routes,
    *clients.routes,
    *audit.routes,
    *meta.routes,
)

TABLE: Final = Table(ROUTES)
# The response to a request: `handle(api, request)`.
handle: Final = partial(answer, TABLE)
