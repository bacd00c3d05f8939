"""Which scenarios are not run on the deployed stack, and why."""

from typing import Any

import pytest

from e2e_aws.aws_runtime import AwsStack
from scenarios.collect import Scenario, name_of

WITHIN_S = 120
WHOLE_SECONDS = "SQS delays by whole seconds, and the scenario wants its retries within less"
INLINE = "a Lambda answers when its work is done: an inline first attempt holds the answer for up to 20 s"
CANCELLED_ELSEWHERE = "an environment may take steps for five seconds after another one cancelled their run"
PAUSED_ELSEWHERE = "an environment may call steps for five seconds after another one paused their run"
KEPT_LATER = "environments have a client cached for half a minute; the scenario wants its pauses at once"
KEPT_AS_BEFORE = "environments have a client cached for half a minute; the scenario sets retentions at once"
HOOKS_LATER = "environments have a client's hooks cached for half a minute; the scenario wants them at once"
ERASED_ELSEWHERE = "an environment may know a run for five seconds after another one erased it"
# By the scenario's name: why it cannot hold on AWS.
EXCLUDED = {
    "a_step_may_take_longer_than_every_wait_and_every_attempt": WHOLE_SECONDS,
    "two_slow_steps_after_each_other_cost_two_more_calls": WHOLE_SECONDS,
    "parents_three_levels_deep_wait_for_their_own": WHOLE_SECONDS,
    "a_delayed_step_starts_after_its_delay": WHOLE_SECONDS,
    "respond_async_is_a_202_with_the_step": INLINE,
    "a_timeout_is_a_504_and_the_work_goes_on": INLINE,
    "cancelled_is_a_409_for_every_caller": INLINE,
    "the_smaller_of_timeout_and_wait_counts": INLINE,
    "cancel_races_with_completion_and_one_of_them_wins": INLINE,
    "steps_that_were_told_unfinished_do_not_wake_who_waits_for_all": INLINE,
    "a_nested_handler_whose_attempt_fails_after_a_post_is_told": INLINE,
    "a_graceful_cancel_reaches_the_run_that_goes_on": INLINE,
    "a_cancelled_run_takes_no_new_step": CANCELLED_ELSEWHERE,
    "a_cancelled_run_takes_no_values": CANCELLED_ELSEWHERE,
    "a_later_attempt_of_a_cancelled_run_posts_nothing": CANCELLED_ELSEWHERE,
    "cancel_ends_a_live_run_with_all_its_steps": CANCELLED_ELSEWHERE,
    "the_handler_of_a_cancelled_run_gets_409_and_posts_no_more": CANCELLED_ELSEWHERE,
    "an_attempt_under_way_ends_and_nothing_follows_it": PAUSED_ELSEWHERE,
    "a_run_is_paused_with_the_one_that_waits_for_it": PAUSED_ELSEWHERE,
    "the_runs_of_a_paused_workflow_are_kept_until_it_is_resumed": KEPT_LATER,
    "an_attempt_under_way_ends_and_the_next_one_is_kept": KEPT_LATER,
    "a_pause_of_a_workflow_is_read_listed_and_ends_by_itself": KEPT_LATER,
    "runs_of_a_workflow_are_kept_for_fewer_days": KEPT_AS_BEFORE,
    "a_run_keeps_the_retention_that_it_began_with": KEPT_AS_BEFORE,
    "each_end_of_a_run_is_told_once": HOOKS_LATER,
    "a_step_that_fails_is_told_and_so_is_its_run": HOOKS_LATER,
    "a_redriven_run_has_another_end": HOOKS_LATER,
    "a_delivery_that_fails_is_a_dead_letter_and_no_hook_is_told_of_it": HOOKS_LATER,
    "a_hook_is_told_of_its_workflow_alone": HOOKS_LATER,
    "a_hook_and_that_of_a_start_are_both_told": HOOKS_LATER,
    "an_event_that_is_opened_is_told": HOOKS_LATER,
    "an_attempt_that_outlives_its_run_writes_nothing": ERASED_ELSEWHERE,
    "a_restart_of_an_erased_run_is_no_restart_of_the_next_one": ERASED_ELSEWHERE,
    "a_revision_of_an_erased_run_is_none_of_the_next_one": ERASED_ELSEWHERE,
    "what_an_operator_does_is_in_the_audit_log": "who acts there has a key, and the scenario expects none",
    "a_bad_document_is_told_field_and_cure": "attemptTimeout has a lower ceiling on AWS",
    "suspending_on_nothing_that_is_still_to_settle_is_a_failed_attempt": "its other client has no key here",
    "a_client_over_its_storage_quota_is_refused_and_others_are_not": "other environments see it after 5 s",
    "64_simultaneous_first_posts_call_once": "its workflow outlasts a wait; see test_many.py",
}
OPTIONS = "the emulator answers OPTIONS itself"
# By the scenario's name: why it cannot hold on the emulator.
ON_EMULATORS = {
    "a_wrong_method_is_told_the_right_one": OPTIONS,
    "a_preflight_of_a_callback_url_changes_nothing": OPTIONS,
    "a_listed_page_calls_and_sees_every_answer": OPTIONS,
    "a_page_sees_that_a_client_may_start_no_more": OPTIONS,
    "a_page_that_is_not_listed_sees_nothing": OPTIONS,
    "a_text_that_is_no_utf_8_is_read_in_its_charset_or_kept": "the emulator hands texts on as UTF-8",
    "a_client_over_its_start_rate_waits_and_others_do_not": "the rate is too fast for new environments",
    "100_runs_of_depth_3_that_wait_for_their_steps_all_finish": "300 environments at a time",
}


def chosen(scenarios: list[Scenario]) -> list[Any]:
    """The scenarios as parameters; excluded ones are skipped with the reason."""
    stack = AwsStack.here()
    excluded = EXCLUDED if stack is not None and not stack.is_emulated else EXCLUDED | ON_EMULATORS
    return [
        pytest.param(
            scenario, id=name_of(scenario), marks=[pytest.mark.skip(reason=reason)] if reason else []
        )
        for scenario in scenarios
        for reason in [excluded.get(name_of(scenario))]
    ]
