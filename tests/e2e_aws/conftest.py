"""These tests need a stack; `make test-aws` deploys one."""

import pytest

from e2e_aws.aws_runtime import VARIABLE, AwsStack


@pytest.fixture(scope="session")
def stack() -> AwsStack:
    found = AwsStack.here()
    if found is None:
        pytest.skip(f"{VARIABLE} names no stack: `make test-aws` deploys one and runs this")
    return found
