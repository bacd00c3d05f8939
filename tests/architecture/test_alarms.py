"""Alarms of template.yaml: every queue and function has its own, and each can fire.

A fault shows when its source comes again: a batch that kills its environment after the visibility timeout
of its queue, a failing schedule at its next time. An alarm that wants its metric in three consecutive
minutes never sees that. So each alarm is played against its source, in minutes, at every phase.
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from atomic.adapters.aws import sqs, table
from stack_template import FUNCTIONS, QUEUES, RESOURCES, TEMPLATE, of_type, several, target_of

REPO = Path(__file__).parents[2]
ALARMS = of_type("AWS::CloudWatch::Alarm")
# A caller that is refused comes again; a plain one that is called by a timer, say each five minutes.
CALLERS_EVERY_S = 300
RATE_S = {"minute": 60, "minutes": 60, "hour": 3600, "hours": 3600, "day": 86_400, "days": 86_400}


def metrics(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that an alarm watches, of which there are several if it adds them up."""
    if "Metrics" not in alarm:
        return [alarm]
    stats = [each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each]
    return [{**each["Metric"], "Period": each["Period"], "Statistic": each["Stat"]} for each in stats]


def watching(namespace: str, metric: str, **dimensions: Any) -> list[dict[str, Any]]:
    """The alarms on a metric."""
    wanted = {"Namespace": namespace, "MetricName": metric}
    return [
        alarm
        for alarm in ALARMS.values()
        for each in metrics(alarm)
        if wanted.items() <= each.items()
        and {d["Name"]: d["Value"] for d in each.get("Dimensions", [])} == dimensions
    ]


def of_function(metric: str, function: str) -> dict[str, Any]:
    [alarm] = watching("AWS/Lambda", metric, FunctionName={"Ref": function})
    return alarm


def of_queue(metric: str, queue: str) -> dict[str, Any]:
    name = f"{queue}.QueueName"
    [alarm] = watching("AWS/SQS", metric, QueueName={"Fn::GetAtt": name})
    return alarm


def states(alarm: dict[str, Any], moments_s: Sequence[int], until_s: int) -> list[bool]:
    """Whether the alarm is on, minute by minute, when its metric counts one at each of these moments.

    CloudWatch looks each minute at the last periods, and missing data is no breach.
    """
    [period] = {each["Period"] for each in metrics(alarm)}
    number = alarm["EvaluationPeriods"]
    found = []
    for now_s in range(number * period, until_s, 60):
        counts = [
            sum(begin <= moment < begin + period for moment in moments_s)
            for begin in range(now_s - number * period, now_s, period)
        ]
        breaching = sum(count > alarm["Threshold"] for count in counts)
        found.append(breaching >= alarm.get("DatapointsToAlarm", number))
    return found


def window_s(alarm: dict[str, Any]) -> int:
    return int(alarm["EvaluationPeriods"] * metrics(alarm)[0]["Period"])


@cache
def cycles(period: int, number: int, wanted: int, threshold: int, every_s: int) -> list[list[bool]]:
    """The states of such an alarm at every phase of a source that counts one each `every_s` seconds."""
    alarm = {
        "Period": period, "EvaluationPeriods": number, "DatapointsToAlarm": wanted, "Threshold": threshold,
    }  # fmt: skip
    end_s = 3 * (number * period + every_s)
    phases = range(0, every_s, max(60, every_s // 15 // 60 * 60))
    return [states(alarm, range(phase, end_s, every_s), end_s) for phase in phases]


def played(alarm: dict[str, Any], every_s: int) -> list[list[bool]]:
    number = alarm["EvaluationPeriods"]
    period = metrics(alarm)[0]["Period"]
    return cycles(period, number, alarm.get("DatapointsToAlarm", number), alarm["Threshold"], every_s)


def fires(alarm: dict[str, Any], every_s: int) -> bool:
    """Whether the alarm comes on, whatever the phase."""
    return all(any(phase) for phase in played(alarm, every_s))


def stays(alarm: dict[str, Any], every_s: int) -> bool:
    """Whether it then stays on as long as its source comes again, so that each fault is one mail."""
    return all(
        (before, now) != (True, False)
        for phase in played(alarm, every_s)
        for before, now in pairwise(phase)
    )


def sources_s(function: str) -> list[int]:
    """After how many seconds each source of a function brings a failed event again."""
    found = []
    for event in FUNCTIONS[function].get("Events", {}).values():
        if event["Type"] == "SQS":
            found.append(QUEUES[target_of(event["Properties"]["Queue"])]["VisibilityTimeout"])
        else:
            rate = event["Properties"]["ScheduleExpression"]
            [(number, unit)] = re.findall(r"^rate\((\d+) (\w+)\)$", rate)
            found.append(int(number) * RATE_S[unit])
    return found or [CALLERS_EVERY_S]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_each_function_has_alarms_that_every_source_of_it_turns_on(function: str, metric: str) -> None:
    alarm = of_function(metric, function)
    every = sources_s(function)
    assert all(fires(alarm, each) for each in every)
    # A daily work that fails is one mail a day.
    assert all(stays(alarm, each) for each in every if each < RATE_S["day"])


def test_an_alarm_that_its_source_cannot_turn_on_is_found() -> None:
    before = {"Period": 60, "EvaluationPeriods": 3, "Threshold": 0}
    assert fires(before, 60)
    assert not fires(before, 360)
    flapping = {"Period": 60, "EvaluationPeriods": 1, "Threshold": 0}
    assert fires(flapping, 360)
    assert not stays(flapping, 360)


@pytest.mark.parametrize("name", ["ServerErrorsAlarm", "ApiThrottlesAlarm", "GatewayRefusalsAlarm"])
def test_one_minute_with_errors_is_no_alarm_and_errors_each_five_minutes_are(name: str) -> None:
    assert not any(states(ALARMS[name], range(60), 3600))
    assert fires(ALARMS[name], CALLERS_EVERY_S)


def test_a_wake_up_that_always_fails_is_an_alarm_long_before_it_is_dead() -> None:
    moments = [0]
    for receives in range(1, QUEUES["StepQueue"]["RedrivePolicy"]["maxReceiveCount"]):
        moments.append(moments[-1] + min(sqs.AGAIN_AFTER_S * 2 ** (receives - 1), sqs.DELAY_MAX_S))
    on = states(ALARMS["WakeupsAgainAlarm"], moments, moments[-1])
    assert on.index(True) * 60 + window_s(ALARMS["WakeupsAgainAlarm"]) < moments[-1] / 2
    assert not any(states(ALARMS["WakeupsAgainAlarm"], moments[:3], 3600))


def consumed() -> set[str]:
    return {
        target_of(event["Properties"]["Queue"])
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    }


@pytest.mark.parametrize("queue", QUEUES)
def test_each_queue_has_its_alarms(queue: str) -> None:
    if queue in consumed():
        age = of_queue("ApproximateAgeOfOldestMessage", queue)
        assert age["Threshold"] > sqs.DELAY_MAX_S
        assert of_queue("ApproximateNumberOfMessagesNotVisible", queue)["Threshold"] == 0.8 * 120_000
    else:
        # Nobody takes messages out of it, so it is a dead-letter queue, and one message is too many.
        assert fires(of_queue("ApproximateNumberOfMessagesVisible", queue), 60)


def test_every_alarm_notifies_and_has_a_description() -> None:
    for alarm in ALARMS.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm["AlarmDescription"]


def test_no_data_is_an_alarm_only_of_what_must_always_run() -> None:
    for alarm in ALARMS.values():
        must_run = alarm.get("MetricName") == "Invocations"
        assert alarm["TreatMissingData"] == ("breaching" if must_run else "notBreaching")


def test_a_percentile_of_few_samples_is_no_alarm() -> None:
    of_percentile = [alarm for alarm in ALARMS.values() if "ExtendedStatistic" in alarm]
    assert len(of_percentile) == 2
    assert {alarm["EvaluateLowSampleCountPercentile"] for alarm in of_percentile} == {"ignore"}


def test_the_alarm_of_latency_follows_the_time_that_callers_may_wait() -> None:
    assert ALARMS["LatencyAlarm"]["Threshold"] == {"Ref": "WaitMaxMs"}
    assert TEMPLATE["Parameters"]["WaitMaxMs"]["MinValue"] > 0


def test_a_tenant_whose_steps_always_fail_mails_once() -> None:
    alarm = ALARMS["FailedStepsAlarm"]
    assert alarm["Threshold"] == {"Ref": "DeadLetterAlarmThreshold"}
    assert TEMPLATE["Parameters"]["DeadLetterAlarmThreshold"]["Default"] == 0
    by_default = {**alarm, "Threshold": 0}
    assert fires(by_default, 60)
    assert stays(by_default, 900)


def test_throttles_of_the_table_and_of_each_index_are_an_alarm() -> None:
    indexes = [each["IndexName"] for each in table.TABLE["GlobalSecondaryIndexes"]]
    alarm = ALARMS["TableThrottlesAlarm"]
    watched = {
        (each["MetricName"], *(d["Value"] for d in each["Dimensions"] if d["Name"] != "TableName"))
        for each in metrics(alarm)
    }
    throttles = ("WriteThrottleEvents", "ReadThrottleEvents")
    assert watched == {(name, *index) for name in throttles for index in [(), *((i,) for i in indexes)]}
    assert fires(alarm, 120)
    assert not any(states(alarm, range(60), 3600))


def test_a_schedule_that_cannot_be_delivered_is_an_alarm() -> None:
    alarm = ALARMS["ScheduledWakeupsAlarm"]
    names = {each["MetricName"] for each in metrics(alarm)}
    assert {"InvocationDroppedCount", "TargetErrorCount"} <= names
    assert all(
        each["Dimensions"] == [{"Name": "ScheduleGroup", "Value": {"Ref": "ScheduleGroup"}}]
        for each in metrics(alarm)
    )
    # One wake-up that is lost and never sent is lost once.
    assert any(states(alarm, [0], 3600))


def test_alarms_that_add_up_do_so_over_all_their_metrics() -> None:
    for name in ("TableThrottlesAlarm", "ScheduledWakeupsAlarm"):
        [shown] = [each for each in ALARMS[name]["Metrics"] if "MetricStat" not in each]
        assert shown["Expression"] == "SUM(FILL(METRICS(), 0))"
        assert all(each["ReturnData"] is False for each in ALARMS[name]["Metrics"] if each != shown)


def test_refusals_of_the_gateway_are_counted_apart_from_limits_of_clients() -> None:
    properties = RESOURCES["GatewayRefusals"]["Properties"]
    access_log = RESOURCES["HttpApiStage"]["Properties"]["AccessLogSettings"]["Format"]
    for field in re.findall(r"\$\.(\w+)", properties["FilterPattern"]):
        assert f'"{field}":' in access_log
    # A pattern compares texts, so the field must be one.
    assert '"integrationStatus":"$context.integrationStatus"' in access_log
    [made] = several(properties["MetricTransformations"])
    assert ALARMS["GatewayRefusalsAlarm"]["MetricName"] == made["MetricName"]


def test_operators_are_told_what_each_alarm_means() -> None:
    told = (REPO / "docs/operations.md").read_text()
    for name, alarm in ALARMS.items():
        assert f"`{name}`" in told, alarm["AlarmDescription"]
