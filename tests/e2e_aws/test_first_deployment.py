"""First deployments as docs/deploy.md tells them, all questions answered, beside the stack of the tests."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.session
import pytest
import yaml
from click.testing import CliRunner

from atomic.cli.main import main as atomic
from aws_local import architecture, outputs_of, runtime
from e2e_aws.aws_runtime import AwsStack
from scenarios.embedded_runtime import free_port
from scenarios.runtime import answer_ok
from scenarios.starts import NOBODY, document

REPO = Path(__file__).parents[2]
DEPLOY = (REPO / "docs/deploy.md").read_text()
POLICY = REPO / "docs/deployer-policy.json"
WITHIN_S = 150
PEPPER = "KeyPepper"


class Checkout:
    """A copy of what `make build` leaves in a clone, in which a deployer runs commands."""

    def __init__(self, folder: Path, stack: AwsStack) -> None:
        if not stack.is_emulated:
            pytest.skip("it deploys stacks, and this test is for emulators")
        self._folder = folder
        self._credentials = deployer()
        build = Path(stack.outputs["Build"])
        self.samconfig = folder / "samconfig.toml"
        shutil.copy(REPO / "samconfig.toml", self.samconfig)
        (folder / ".aws-sam").mkdir()
        (folder / ".aws-sam/build").symlink_to(build)
        template = yaml.load((build / "template.yaml").read_text(), yaml.BaseLoader)
        self._parameters = list(template["Parameters"])
        # All else is left as it is offered.
        self._answers = {
            "Runtime": runtime(),
            "Architecture": architecture(),
            "LocalEndpoint": stack.outputs["Endpoint"],
            PEPPER: os.environ["ATOMIC_KEY_PEPPER"],
            "PreviousKeyPepper": "none",
        }

    def guided(self, command: str, **answers: str) -> None:
        """Run a guided deployment; check that it asks for every parameter, and for nothing unexpected."""
        given = self._answers | answers
        # Name and region of the stack; the parameters; six questions about the deployment itself, and
        # whether to deploy this change set.
        lines = ["", "", *(given.get(name, "") for name in self._parameters), *[""] * 6, "y"]
        said = self.run(command, *lines)
        asked = [name for name in self._parameters if f"Parameter {name}" in said]
        assert asked == self._parameters
        assert "authorization" not in said

    def run(self, command: str, *answers: str) -> str:
        """Run a command of docs/deploy.md, without a terminal; return its output."""
        assert command in DEPLOY
        done = subprocess.run(
            command.split(),
            cwd=self._folder,
            env=os.environ | self._credentials,
            input="".join(f"{line}\n" for line in answers),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            start_new_session=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture
def checkout(tmp_path: Path, stack: AwsStack) -> Checkout:
    return Checkout(tmp_path, stack)


def deployer() -> dict[str, str]:
    """The credentials of a user who may do what docs/deployer-policy.json says, and nothing else."""
    s3, iam, name = service("s3"), service("iam"), f"deployer-{uuid4().hex[:8]}"
    # SAM's bucket is for TLS only, and the emulator has none.
    for bucket in s3.list_buckets()["Buckets"]:
        s3.delete_bucket_policy(Bucket=bucket["Name"])
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="deploys", PolicyDocument=POLICY.read_text())
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def service(name: str) -> Any:
    return botocore.session.get_session().create_client(name)


def deployed(name: str) -> AwsStack:
    return AwsStack(outputs_of(name, os.environ))


def maintained(stacks: Sequence[AwsStack]) -> list[int]:
    """How many schedules call the maintenance function of each stack."""
    targets = [
        service("scheduler").get_schedule(Name=each["Name"], GroupName=each["GroupName"])["Target"]["Arn"]
        for each in service("scheduler").list_schedules()["Schedules"]
    ]
    functions = [stack.outputs["MaintenanceFunctionName"] for stack in stacks]
    return [sum(target.endswith(f":{name}") for target in targets) for name in functions]


async def works(stack: AwsStack) -> None:
    """A step that is due in a second goes through the stack's own queue and invoker."""
    async with stack.runtime() as runtime, asyncio.timeout(WITHIN_S):
        url = runtime.endpoint("/later", answer_ok)
        reply = await runtime.finish(document(url, delay=1_000, timeout=20_000))
        assert (reply.status, len(runtime.calls(url))) == (200, 1)


def test_two_stacks_and_a_table_that_outlives_its_stack(stack: AwsStack, checkout: Checkout) -> None:
    checkout.guided("sam deploy --guided --stack-name atomic")
    second = deployed("atomic")

    async def side_by_side() -> None:
        await asyncio.gather(works(stack), works(second))

    asyncio.run(side_by_side())
    # Overdue roots, counters and retention.
    assert maintained([stack, second]) == [3, 3]

    port = free_port()
    client: dict[str, Any] = {"client": "kept", "endpoint_port": port}
    client["keys"] = {"kept": second.create_client("kept", (f"http://127.0.0.1:{port}/", NOBODY))}

    async def left_waiting() -> str:
        async with second.runtime(**client) as runtime:
            url = runtime.endpoint("/kept", answer_ok)
            posted = await runtime.start(document(url, delay=3_000), prefer="respond-async")
            return str(posted.json["id"])

    step_id = asyncio.run(left_waiting())
    table = second.outputs["TableName"]
    checkout.run("sam delete --stack-name atomic", "y", "y")
    checkout.guided("sam deploy --guided", ExistingTable=table)
    third = deployed("atomic")
    assert third.outputs["TableName"] == table
    assert send_wakeups(third) == "1 wake-ups"

    async def goes_on() -> None:
        async with third.runtime(**client) as runtime, asyncio.timeout(WITHIN_S):
            url = runtime.endpoint("/kept", answer_ok)
            await runtime.step_in(step_id, "succeeded", within_s=30)
            assert len(runtime.calls(url)) == 1

    asyncio.run(goes_on())
    checkout.run("sam delete --stack-name atomic", "y", "y")
    assert table in service("dynamodb").list_tables()["TableNames"]


def send_wakeups(stack: AwsStack) -> str:
    outputs = stack.outputs
    queues = ["--queue-url", outputs["QueueUrl"], "--long-queue-url", outputs["LongQueueUrl"]]
    sent = CliRunner().invoke(atomic, ["send-wakeups", "--table", outputs["TableName"], *queues])
    return sent.stdout.partition(" for ")[0]


def variables(stack: AwsStack) -> Mapping[str, str]:
    """The environment of the maintenance function."""
    name = stack.outputs["MaintenanceFunctionName"]
    found = service("lambda").get_function_configuration(FunctionName=name)
    told: dict[str, str] = found["Environment"]["Variables"]
    return told


def test_the_production_stack_keeps_its_pepper(checkout: Checkout) -> None:
    checkout.guided("sam deploy --guided --config-env prod")
    asyncio.run(works(deployed("atomic-prod")))
    said = checkout.samconfig.read_text()
    assert PEPPER not in said
    assert r"LogRetentionDays=\"90\"" in said

    # Something has to change, or nothing is deployed.
    checkout.samconfig.write_text(said.replace(r"LogLevel=\"INFO\"", r"LogLevel=\"DEBUG\""))
    checkout.run("sam deploy --config-env prod", "y")

    told = variables(deployed("atomic-prod"))
    assert told["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    assert told["ATOMIC_KEY_PEPPER"] == os.environ["ATOMIC_KEY_PEPPER"]
