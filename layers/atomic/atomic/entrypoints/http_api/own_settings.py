"""What clients set themselves, on every runtime: hooks, pauses of workflows and their retentions."""

from collections.abc import Callable
from typing import TypeVar

from atomic.application.own_settings import OwnSettingsStore
from atomic.domain.clients.records import ClientConflictError, UnknownClient
from atomic.domain.hooks import HOOKS_MAX, TooManyHooks, UnknownHook
from atomic.domain.retentions import RETENTIONS_MAX, TooManyRetentions
from atomic.domain.workflow_pauses import WORKFLOW_PAUSES_MAX, TooManyWorkflowPauses
from atomic.entrypoints.http_api.api import Api, keeps_no_clients
from atomic.protocol import problems
from atomic.protocol.problems import Problem

Done = TypeVar("Done")


async def own_settings(api: Api, work: Callable[[OwnSettingsStore], Done]) -> Done:
    """Do the work on the settings of stored clients, or of a server without API keys. Raises Problem."""
    try:
        if api.manage is not None:
            return await api.manage(work)
        if api.own_settings is None:
            raise keeps_no_clients()
        return work(api.own_settings)
    except (UnknownClient, UnknownHook):
        raise problems.not_found() from None
    except TooManyHooks:
        detail = f"A client has {HOOKS_MAX} hooks at most. Delete one, or let one tell of more events."
        raise Problem(problems.TOO_MANY_HOOKS, detail) from None
    except TooManyWorkflowPauses:
        detail = (
            f"At most {WORKFLOW_PAUSES_MAX} workflows of a client are paused. Resume one of them first."
        )
        raise Problem(problems.TOO_MANY_PAUSES, detail) from None
    except TooManyRetentions:
        detail = (
            f"At most {RETENTIONS_MAX} workflows have retentions of their own. Delete one of them first."
        )
        raise Problem(problems.TOO_MANY_RETENTIONS, detail) from None
    except ClientConflictError as conflict:
        raise Problem(problems.CLIENT_CONFLICT, f"{conflict}.") from None
