"""A user's DynamoDB tables, simulated by moto."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from contract.aws import one_request_at_a_time


@contextmanager
def tables(*names: str) -> Iterator[Any]:
    """A client of an account with these tables, empty, with a string `id` as partition key."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(), one_request_at_a_time():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        client = boto3.client("dynamodb")
        for name in names:
            client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            )
        yield client
