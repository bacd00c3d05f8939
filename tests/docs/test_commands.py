"""Pages for operators on AWS cannot be run here, so each of their commands is read instead."""

import re

import pytest

from atomic.cli.aws.account import ACCOUNT_CHECKS
from atomic.cli.aws.stack import Stack, checks_of
from docs.commands import commands_in, commands_of, refusal
from docs.pages import DOCS
from stack_template import FUNCTIONS


@pytest.mark.parametrize(
    ("page", "at_least"), [("runbooks.md", 30), ("deploy.md", 20), ("operations.md", 10), ("cli.md", 30)]
)
def test_every_command_of_a_page_is_one_that_its_program_knows(page: str, at_least: int) -> None:
    shown = list(commands_of(DOCS / page))
    assert len(shown) >= at_least
    refused = {" ".join(command): why for command in shown if (why := refusal(command)) is not None}
    assert refused == {}


def test_the_commands_that_doctor_names_are_known_too() -> None:
    outputs = {"Url": "https://a.example", "AlarmTopicArn": "arn:t", "ApiId": "a", "TableName": "t"}
    stack = Stack("s", "CREATE_COMPLETE", outputs, (("DeadLetterQueue", "AWS::SQS::Queue", "https://q"),))
    named = [check.by_hand for check in (*ACCOUNT_CHECKS, *checks_of(stack))]
    commands = [command for text in named for command in commands_in(text)]
    assert len(commands) == len(named) - 1  # one of them is curl
    assert [why for command in commands if (why := refusal(command)) is not None] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("atomic nonsense", "no command nonsense"),
        ("atomic clients limits acme --starts 3", "No such option"),
        ("aws dynamodb restore-tables", "no operation restore-tables"),
        ("aws sqs purge-queue --queue $(aws sqs list-queue)", "no operation list-queue"),
        ("aws sqs purge-queue --queue x", "has no queue"),
        ("aws lambda invoke --function-name f --payload '{}' out", "takes base64"),
        ("aws lambda invoke --function-name f", "needs a file"),
        ("aws dynamodb wait table-there --table-name t", "no waiter table-there"),
    ],
)
def test_a_command_with_a_mistake_is_found(text: str, says: str) -> None:
    refused = [refusal(command) for command in commands_in(text)]
    assert says in str(refused)


def test_the_stack_is_stopped_as_a_whole() -> None:
    loops = re.findall(r"for FUNCTION in ([^;]+);", (DOCS / "runbooks.md").read_text())
    assert len(loops) == 2
    assert [set(names.split()) for names in loops] == [set(FUNCTIONS)] * 2
