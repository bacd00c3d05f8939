"""Which case covers which number of AWS's conformance suite for durable execution, version 1.0.0.

That suite has 155 cases, numbered by category, as in 8-13. `TABLE` says in our own words what each of them
checks, with the case here that checks the same, or the reason why there is none.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdk.durable import callbacks, children, conditions, hooks, invokes, maps, parallel, steps, submitted
from sdk.world import World

TYPESCRIPT: Final = Path(__file__).parents[3] / "typescript/test/conformance/table.json"

Check = Callable[[World], None]
# What is checked, and the case that checks it, or why there is none.
Row = tuple[str, Check | str]


@dataclass(frozen=True, slots=True)
class Category:
    """A category of the suite: its number and name there, what it is in Atomic, and its rows by number."""

    number: int
    name: str
    here: str
    rows: Mapping[int, Row]

    @property
    def left_out(self) -> Mapping[str, str]:
        """The numbers without a case, with the reasons."""
        return {f"{self.number}-{row}": why for row, (_, why) in self.rows.items() if isinstance(why, str)}

    def summary(self, typescript: "InTypeScript") -> str:
        """The line of this category in docs/conformance.md."""
        count = len(self.rows)
        cells = [self.name, self.here, f"{count - len(self.left_out)} of {count}"]
        cells += [typescript.here, f"{count - len(typescript.left_out)} of {count}"]
        return f"| {self.number} | {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class InTypeScript:
    """A category in TypeScript: what it is there, and the numbers without a case, with the reasons."""

    here: str
    left_out: Mapping[str, str]

    @classmethod
    def of(cls, category: Category) -> "InTypeScript":
        """Read the table of the cases in TypeScript, whose names its own tests check."""
        found = json.loads(TYPESCRIPT.read_text())[category.name]
        left_out = {f"{category.number}-{row}": why for row, why in found["leftOut"].items()}
        return cls(found["here"], left_out)


STEP = Category(
    1,
    "step",
    "`ctx.step`, `ctx.run`",
    {
        1: ("one step, with its result", steps.case_results_of_steps_and_values),
        2: ("a step with a name", steps.case_results_of_steps_and_values),
        3: ("a step that takes the result of another", steps.case_results_of_steps_and_values),
        4: ("a nested result", steps.case_results_of_steps_and_values),
        5: ("no result", steps.case_results_of_steps_and_values),
        6: ("a form in JSON for one step's result", steps.case_a_step_has_a_form_of_its_own),
        7: ("the logger of a step", hooks.case_a_logger_knows_its_step),
        8: ("a wait after a step", steps.case_a_replay_skips_what_is_done),
        9: ("a step that is done does not run again", steps.case_a_replay_skips_what_is_done),
        10: ("a failed step raises the same error again", steps.case_a_replay_skips_what_is_done),
        11: ("a retry that succeeds", steps.case_steps_are_retried_by_their_policy),
        12: ("no retry is left", steps.case_steps_are_retried_by_their_policy),
        13: ("the default policy", steps.case_a_step_without_a_policy_is_retried),
        14: ("pauses that grow by a factor", steps.case_steps_are_retried_by_their_policy),
        15: ("an error that is retried for its type", steps.case_types_of_errors_say_what_is_retried),
        16: ("an error that is not retried for its type", steps.case_types_of_errors_say_what_is_retried),
        17: ("at most once: the process dies, no retry", steps.case_an_attempt_is_made_at_most_once),
        18: ("at most once in each retry", steps.case_an_attempt_is_made_at_most_once),
        19: ("a step without retries fails", steps.case_steps_are_retried_by_their_policy),
        20: ("the error of a step is caught", steps.case_steps_are_retried_by_their_policy),
    },
)

WAIT = Category(
    2,
    "wait",
    "`ctx.sleep`",
    {
        1: ("one wait", steps.case_waits),
        2: ("a wait with a name", steps.case_waits),
        3: ("one wait after the other", steps.case_waits),
        4: ("minutes", steps.case_waits),
        5: ("an hour", steps.case_waits),
    },
)

CHILD = Category(
    3,
    "child",
    "a workflow that is called as a step; a branch of `ctx.gather`",
    {
        1: ("a child with one step", children.case_a_child_has_the_result_of_its_steps),
        2: ("a child with a name", children.case_a_child_has_the_result_of_its_steps),
        3: ("two steps in a child", children.case_a_child_has_the_result_of_its_steps),
        4: ("the error of its step fails all", children.case_a_child_fails_with_its_step),
        5: ("the error of a child is caught", children.case_a_child_fails_with_its_step),
        6: ("a child in a child", children.case_a_child_has_the_result_of_its_steps),
        7: ("its step is retried", children.case_a_child_retries_its_step),
        8: ("its step has no retry left", children.case_a_child_fails_with_its_step),
        9: ("a child that is done does not run again", children.case_a_child_goes_on_after_its_waits),
        10: ("a step and a wait in a child", children.case_a_child_goes_on_after_its_waits),
        11: ("a result too large to be kept", children.case_a_child_has_a_result_of_any_size),
        12: ("its process dies", children.case_a_child_goes_on_where_its_process_died),
        13: ("a wait in a child, a step after it", children.case_a_child_goes_on_after_its_waits),
        14: ("a form in JSON for its result", children.case_a_child_has_a_form_of_its_own),
        15: ("an error of its own code", children.case_a_child_fails_with_its_step),
        16: ("no result", children.case_a_child_has_the_result_of_its_steps),
        17: ("a child without calls does not run again", children.case_a_child_goes_on_after_its_waits),
        18: ("steps and waits inside and after", children.case_a_child_goes_on_after_its_waits),
    },
)

CALLBACK = Category(
    4,
    "callback",
    "`ctx.open_event`, `ctx.event`",
    {
        1: ("a result from outside", callbacks.case_callbacks_are_given_their_result),
        2: ("a callback with a name", callbacks.case_callbacks_are_given_their_result),
        3: ("nobody answers in time", callbacks.case_callbacks_that_fail_fail_their_workflow),
        4: ("no heartbeat comes", callbacks.case_callbacks_need_heartbeats),
        5: ("a heartbeat, then a result", callbacks.case_callbacks_need_heartbeats),
        6: ("a failure from outside", callbacks.case_callbacks_that_fail_fail_their_workflow),
        7: ("a failure after a step", callbacks.case_callbacks_that_fail_fail_their_workflow),
        8: ("too late after a step", callbacks.case_callbacks_that_fail_fail_their_workflow),
        9: ("a result while a wait is on", callbacks.case_callbacks_resolve_beside_steps_and_waits),
        10: ("a failure while a wait is on", callbacks.case_callbacks_that_fail_fail_their_workflow),
        11: ("too late while a wait is on", callbacks.case_callbacks_that_fail_fail_their_workflow),
        12: ("a wait after the result", callbacks.case_callbacks_resolve_beside_steps_and_waits),
        13: ("a wait after a failure is caught", callbacks.case_callbacks_resolve_beside_steps_and_waits),
        14: ("a wait after a time-out is caught", callbacks.case_callbacks_resolve_beside_steps_and_waits),
        15: ("a result read as a type with a time", callbacks.case_callbacks_are_given_their_result),
        16: ("a result read as a number", callbacks.case_callbacks_are_given_their_result),
        17: ("one callback after the other", callbacks.case_two_callbacks_are_awaited_in_any_order),
        18: ("two at once, in order", callbacks.case_two_callbacks_are_awaited_in_any_order),
        19: ("two at once, the last one first", callbacks.case_two_callbacks_are_awaited_in_any_order),
    },
)

_NO_TENANT: Final = (
    "a setting of AWS Lambda; with Atomic each tenant is a client, and calls steps of its own"
)
INVOKE = Category(
    5,
    "invoke",
    "`ctx.run_workflow`; a workflow that is called as a step",
    {
        1: ("another function, with its result", invokes.case_an_invoked_function_gives_its_result),
        2: ("an invocation with a name", invokes.case_an_invoked_function_gives_its_result),
        3: ("a nested result", invokes.case_an_invoked_function_gives_its_result),
        4: ("no result", invokes.case_an_invoked_function_gives_its_result),
        5: ("the function fails", invokes.case_an_invoked_function_fails),
        6: ("its failure is caught", invokes.case_an_invoked_function_fails),
        7: ("a payload near the limit", invokes.case_an_invoked_function_gives_its_result),
        8: ("an invocation for a tenant", _NO_TENANT),
        9: ("a replay invokes nothing again", invokes.case_functions_are_invoked_among_other_calls),
        10: ("a replay raises its failure again", invokes.case_an_invoked_function_fails),
        11: ("a step, then a function", invokes.case_functions_are_invoked_among_other_calls),
        12: ("a function, then a step", invokes.case_functions_are_invoked_among_other_calls),
        13: ("a function that a child invokes", invokes.case_functions_are_invoked_among_other_calls),
        14: ("one function after the other", invokes.case_functions_are_invoked_among_other_calls),
        15: ("a form in JSON for the payload", invokes.case_an_invocation_has_forms_of_its_own),
        16: ("a form in JSON for the result", invokes.case_an_invocation_has_forms_of_its_own),
    },
)

CONDITION = Category(
    6,
    "wait_for_condition",
    "`ctx.until`",
    {
        1: ("checks until a threshold", conditions.case_conditions_are_met_by_their_state),
        2: ("met at the first check", conditions.case_conditions_are_met_by_their_state),
        3: ("a condition with a name", conditions.case_conditions_are_met_by_their_state),
        4: ("the state goes from check to check", conditions.case_conditions_are_met_by_their_state),
        5: ("equal pauses", conditions.case_conditions_are_met_by_their_state),
        6: ("no attempt is left", conditions.case_conditions_that_are_not_met_fail),
        7: ("the check fails", conditions.case_conditions_that_are_not_met_fail),
        8: ("the failure of a check is caught", conditions.case_conditions_that_are_not_met_fail),
        9: ("an object as the state", conditions.case_conditions_are_met_by_their_state),
        10: ("no state", conditions.case_conditions_are_met_by_their_state),
        11: ("a form in JSON for the state", conditions.case_a_state_has_a_form_of_its_own),
        12: ("a step takes the result", conditions.case_conditions_are_met_by_their_state),
        13: ("one condition after the other", conditions.case_conditions_are_met_by_their_state),
    },
)

SUBMITTED = Category(
    7,
    "wait_for_callback",
    "`ctx.callback`",
    {
        1: ("a callback that a step passes on", submitted.case_a_step_passes_a_callback_on),
        2: ("a fixed name", submitted.case_a_step_passes_a_callback_on),
        3: ("a function passes it on", submitted.case_a_step_passes_a_callback_on),
        4: ("a failure from outside", submitted.case_callbacks_that_were_passed_on_fail),
        5: ("nobody answers in time", submitted.case_callbacks_that_were_passed_on_fail),
        6: ("a failure is caught", submitted.case_callbacks_that_were_passed_on_fail),
        7: ("the step that passes it on fails", submitted.case_callbacks_that_were_passed_on_fail),
        8: ("in a child", submitted.case_a_step_passes_a_callback_on),
        9: ("one after the other", submitted.case_callbacks_are_passed_on_one_after_the_other),
        10: ("after a wait and a step", submitted.case_a_step_passes_a_callback_on),
        11: ("an object as the result", submitted.case_a_step_passes_a_callback_on),
        12: ("no heartbeat comes", submitted.case_callbacks_that_were_passed_on_fail),
        13: ("heartbeats, then a result", submitted.case_a_callback_that_was_passed_on_lives_by_heartbeats),
        14: ("a time-out is caught", submitted.case_callbacks_that_were_passed_on_fail),
        15: ("no result", submitted.case_a_step_passes_a_callback_on),
    },
)

PARALLEL = Category(
    8,
    "parallel",
    "`ctx.parallel`",
    {
        1: ("two branches of a step each", parallel.case_branches_have_results_in_their_order),
        2: ("no name, and branches without a step", parallel.case_branches_have_results_in_their_order),
        3: ("branches with names", parallel.case_branches_have_results_in_their_order),
        4: ("results of several types", parallel.case_branches_have_results_in_their_order),
        5: ("no branch", parallel.case_branches_have_results_in_their_order),
        6: ("no failure is tolerated", parallel.case_branches_end_by_their_policy),
        7: (
            "the batch raises its first failure",
            parallel.case_a_batch_raises_the_error_of_its_first_failure,
        ),
        8: ("enough have succeeded", parallel.case_branches_end_by_their_policy),
        9: ("a failure within the tolerance", parallel.case_branches_end_by_their_policy),
        10: ("more failures than tolerated", parallel.case_branches_end_by_their_policy),
        11: ("results in order, side by side", parallel.case_branches_have_results_in_their_order),
        12: ("no record for each branch", parallel.case_branches_have_results_in_their_order),
        13: ("more failures than a share", parallel.case_branches_end_by_their_policy),
        14: ("a wait in a branch", parallel.case_a_branch_goes_on_where_it_was_suspended),
        15: ("forms in JSON for results", parallel.case_results_of_branches_have_a_form_of_their_own),
        16: ("all fail within the tolerance", parallel.case_branches_end_by_their_policy),
        17: ("never enough succeed", parallel.case_branches_end_by_their_policy),
        18: ("two limits at once", parallel.case_branches_end_by_their_policy),
        19: ("no branch at a time", parallel.case_a_batch_raises_the_error_of_its_first_failure),
        20: ("what a batch tells", parallel.case_a_batch_tells_of_its_branches),
        21: ("a batch in a branch", parallel.case_branches_have_results_in_their_order),
        22: ("as many failures as a share", parallel.case_branches_end_by_their_policy),
    },
)

MAP = Category(
    9,
    "map",
    "`ctx.map`; `ctx.parallel` for items of several calls",
    {
        1: ("a step for each item", maps.case_a_map_has_results_in_the_order_of_its_items),
        2: ("no name", maps.case_a_map_has_results_in_the_order_of_its_items),
        3: ("an item with its index", maps.case_a_map_has_results_in_the_order_of_its_items),
        4: ("no item", maps.case_a_map_has_results_in_the_order_of_its_items),
        5: ("no failure is tolerated", maps.case_a_map_ends_by_its_policy),
        6: ("the map raises its first failure", maps.case_a_map_raises_the_error_of_its_first_failure),
        7: ("enough have succeeded", maps.case_a_map_ends_by_its_policy),
        8: ("a failure within the tolerance", maps.case_a_map_ends_by_its_policy),
        9: ("more failures than tolerated", maps.case_a_map_ends_by_its_policy),
        10: ("more failures than a share", maps.case_a_map_ends_by_its_policy),
        11: ("results in order, side by side", maps.case_a_map_has_results_in_the_order_of_its_items),
        12: ("no record for each item", maps.case_a_map_has_results_in_the_order_of_its_items),
        13: ("a name for each item", maps.case_each_item_of_a_map_has_a_name),
        14: ("forms in JSON for results", maps.case_results_of_a_map_have_a_form_of_their_own),
        15: ("a wait in an item", maps.case_a_map_goes_on_where_an_item_was_suspended),
        16: ("results too large to be kept at once", maps.case_a_map_has_results_in_the_order_of_its_items),
        17: ("a wait after the map", maps.case_a_map_has_results_in_the_order_of_its_items),
        18: ("a wait after a map with a failure", maps.case_a_map_ends_by_its_policy),
        19: ("a form in JSON for the whole result", maps.case_results_of_a_map_have_a_form_of_their_own),
        20: ("a replay reads the whole result", maps.case_results_of_a_map_have_a_form_of_their_own),
    },
)

PLUGIN = Category(
    10,
    "plugin",
    "`hooks=` of endpoints",
    {
        1: ("the start and the end of a call", hooks.case_hooks_are_told_of_calls_and_operations),
        2: ("the start and the end of an operation", hooks.case_hooks_are_told_of_calls_and_operations),
        3: ("the attempts of a step", hooks.case_hooks_are_told_of_attempts),
        4: ("errors of hooks change nothing", hooks.case_hooks_are_told_of_calls_and_operations),
        5: ("several sets of hooks", hooks.case_hooks_are_told_of_calls_and_operations),
        6: ("a replay is told from a first call", hooks.case_hooks_tell_a_replay_from_a_first_call),
        7: ("a failure at the end", hooks.case_hooks_are_told_of_a_failure),
    },
)

TABLE: Final = (STEP, WAIT, CHILD, CALLBACK, INVOKE, CONDITION, SUBMITTED, PARALLEL, MAP, PLUGIN)
# How many cases each category of the suite has.
COUNTS: Final = (20, 5, 18, 19, 16, 13, 15, 22, 20, 7)
