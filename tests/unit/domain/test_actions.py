"""The table of actions says what the engine, the API and the command line do."""

from typing import Final

import click
import pytest

from atomic.cli.main import main
from atomic.domain.transitions import transition
from atomic.entrypoints.http_api.routes import ROUTES
from atomic.protocol.actions import ACTIONS, Action, named
from atomic.protocol.enums import LIVE, SETTLED, Status
from unit.domain.test_transitions import EVENTS, NOW, STATES

# What an action commits to the step, or to each step of the run; see test_transitions. A restart leaves the
# run as it is.
EVENT_OF: Final = {
    "cancel": "Cancelled",
    "redrive": "Redriven",
    "due": "DueNow",
    "pause": "Paused",
    "resume": "Resumed",
    "dismiss": "Dismissed",
}


@pytest.mark.parametrize(
    "action",
    [action for action in ACTIONS if action.name in EVENT_OF],
    ids=lambda action: f"{action.name}-{action.of}",
)
def test_an_action_changes_steps_in_its_states_and_no_others(action: Action) -> None:
    for make in STATES.values():
        step = make()
        if action.paused:
            step = transition(step, EVENTS["Paused"], NOW)
        after = transition(step, EVENTS[EVENT_OF[action.name]], NOW)
        assert (after is not step) is (step.status in (action.states or LIVE))
        if after is not step and action.done in set(Status):
            assert after.status == action.done


def test_what_has_ended_is_restarted() -> None:
    assert frozenset(named("run", "restart").states or ()) == SETTLED


def test_an_action_is_a_route_for_those_who_act_and_a_command() -> None:
    operations = [(route, route.operation) for route in ROUTES if route.operation]
    routes = {(route.template, operation.id) for route, operation in operations if route.scope == "act"}
    for action in ACTIONS:
        path = f"/{{clientId}}/{action.of}s/{{{action.of}Id}}/{action.name}"
        assert (path, f"{action.name}{action.of.capitalize()}") in routes
        assert main.get_command(click.Context(main), action.name) is not None
