"""What a Lambda environment loads before its first event. Each package lengthens each cold start."""

import subprocess
import sys

import pytest

# The third-party packages that a cold start may load, and why.
ALLOWED = {
    "annotated_types": "pydantic",
    "atomic": "ourselves",
    "aws_lambda_powertools": "JSON logs and EMF metrics",
    "botocore": "DynamoDB, SQS, Scheduler; boto3 would add 40 ms on top of it",
    "certifi": "botocore",
    "cython_runtime": "httptools",
    "dateutil": "botocore",
    "httptools": "the invoker's parser",
    "jmespath": "botocore",
    "orjson": "records and documents",
    "pydantic": "request models",
    "pydantic_core": "pydantic",
    "six": "dateutil",
    "typing_extensions": "pydantic",
    "typing_inspection": "pydantic",
    "tzdata": "the version of the time zones",
    "urllib3": "botocore",
}
SHOW = """
import sys
before = set(sys.modules)
import atomic.entrypoints.aws.{function}
loaded = {{name for name in set(sys.modules) - before}}
known = set(sys.stdlib_module_names)
print(*sorted({{name.partition(".")[0] for name in loaded}} - known))
print(*sorted(name for name in loaded if name.startswith("atomic.")))
"""


@pytest.mark.parametrize("function", ["api", "invoker", "maintenance"])
def test_a_cold_start_loads_nothing_that_is_not_named_here(function: str) -> None:
    packages, modules = loaded_by(function)
    surplus = {name for name in packages - ALLOWED.keys() if not name.startswith("_")}
    assert surplus == set(), f"{function} loads {sorted(surplus)}; import it where it is used, or name it"
    idle = {
        "atomic.entrypoints.http_api.openapi",
        "atomic.entrypoints.http_api.docs_page",
        "atomic.entrypoints.http_api.problem_help",
        "atomic.entrypoints.http_api.sdk_help",
        "atomic.protocol.documents",
        "atomic.adapters.sqlite",
        "atomic.adapters.prometheus",
        "atomic.testing",
    }
    assert modules & idle == set()


def loaded_by(function: str) -> tuple[set[str], set[str]]:
    """The third-party packages, and Atomic's own modules, that the import of a function loads."""
    command = [sys.executable, "-c", SHOW.format(function=function)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    packages, modules = shown.splitlines()
    return set(packages.split()), set(modules.split())
