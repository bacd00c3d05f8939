"""The blocking calls for large texts: items of a run's partition, and objects of the bucket when large.

Both are written once, deflated, and named by their content. A text of up to 64 KiB that is small enough for
its row once it is deflated is stored in neither.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from botocore.exceptions import ClientError

from atomic.adapters.aws.items import conditional
from atomic.adapters.aws.packing import deflate, inflate
from atomic.adapters.aws.rows import GRACE_S, Item
from atomic.domain.blobs import INLINE_MAX_BYTES, Place
from atomic.protocol import keys

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_log = logging.getLogger("atomic.texts")
T = TypeVar("T")

# These texts are read with each row: a hundred rows must not become gigabytes when they are inflated,
# and a document shows them.
ROW_MAX_BYTES: Final = 64 * 1024
# A larger text costs less in the bucket, where a write has one price for every size.
ITEM_MAX_BYTES: Final = 64 * 1024
# The ages at which the bucket deletes what is in its folders `64-days` and so on, as in `template.yaml`.
FOLDER_DAYS: Final = (64, 128, 256, 512)
# A long run has its texts kept on once in each period of a retention, and a day or two after its end; an
# early event is opened within a week, and a row is deleted some days after its expiry.
MARGIN_DAYS: Final = 15


class BlobItems:
    """Large texts in one table and one bucket.

    `s3` makes the client of the bucket when it is needed first: most environments never need it. Steps are
    kept for `retention_days` after their end. The bucket deletes objects by their age, so they are in the
    folder of the first age that is enough; rows remember the folder.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        s3: Callable[[], "S3Client"],
        bucket: str,
        *,
        retention_days: int,
    ) -> None:
        self._client = client
        self._table = table_name
        self._s3 = s3
        self._bucket = bucket
        least = retention_days + MARGIN_DAYS
        self._folder = next(f"{days}-days" for days in FOLDER_DAYS if days >= least)

    def put(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        """Store the text, unless it is small when deflated: one write."""
        packed = deflate(text)
        if len(packed) <= INLINE_MAX_BYTES and len(text) <= ROW_MAX_BYTES:
            return "row"
        if len(packed) > ITEM_MAX_BYTES:
            # A repeated write renews the age of the object, by which the bucket deletes it.
            self._s3().put_object(
                Bucket=self._bucket, Key=_object_key(self._folder, step_id, digest), Body=packed
            )
            return self._folder
        expires = {"N": str(until_ms // 1000 + 2 * GRACE_S)}
        conditional(
            self._client.put_item,
            TableName=self._table,
            Item=_item_key(step_id, digest) | {"t": {"B": packed}, "ttl": expires},
            # The content is the same, but another writer may have asked to keep it longer.
            ConditionExpression="attribute_not_exists(pk) OR #ttl < :ttl",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":ttl": expires},
        )
        return "table"

    def get(self, step_id: str, digest: str, place: Place) -> bytes | None:
        """The text; None when there is none. One read."""
        if place != "table":
            key = _object_key(place, step_id, digest)
            found = _unless_missing(lambda: self._s3().get_object(Bucket=self._bucket, Key=key))
            return None if found is None else inflate(found["Body"].read())
        # What a row names was written before it, so only a read that is consistent is sure to find it.
        item = self._client.get_item(
            TableName=self._table, Key=_item_key(step_id, digest), ConsistentRead=True
        ).get("Item")
        return None if item is None else inflate(item["t"]["B"])

    def keep(self, step_id: str, digest: str, place: Place, until_s: int) -> None:
        """Postpone the time when the text may be deleted. A text that is missing stays so.

        Otherwise it would keep maintenance from all runs that come after its own.
        """
        if place != "table":
            key = _object_key(place, step_id, digest)
            # S3 takes a copy onto itself only when something changes; the copy has a new age.
            copied = _unless_missing(
                lambda: self._s3().copy_object(
                    Bucket=self._bucket,
                    Key=key,
                    CopySource={"Bucket": self._bucket, "Key": key},
                    MetadataDirective="REPLACE",
                )
            )
            if copied is None:
                _log.error("a large text of %s is missing in the bucket", step_id)
            return
        conditional(
            self._client.update_item,
            TableName=self._table,
            Key=_item_key(step_id, digest),
            UpdateExpression="SET #ttl = :until",
            ConditionExpression="#ttl < :until",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":until": {"N": str(until_s + 2 * GRACE_S)}},
        )

    def erase(self, run_id: str) -> None:
        """Delete the objects of a run, also those that no row names."""
        pages = self._s3().get_paginator("list_objects_v2")
        for days in FOLDER_DAYS:
            for page in pages.paginate(Bucket=self._bucket, Prefix=f"{days}-days/{run_id}/"):
                for found in page.get("Contents", []):
                    self._s3().delete_object(Bucket=self._bucket, Key=found["Key"])


def _unless_missing(call: Callable[[], T]) -> T | None:
    """What S3 answers; None when there is no such object."""
    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None


def _item_key(step_id: str, digest: str) -> Item:
    return {"pk": {"S": keys.run_of(step_id)}, "sk": {"S": f"~{keys.position_of(step_id)}#{digest}"}}


def _object_key(folder: str, step_id: str, digest: str) -> str:
    return f"{folder}/{keys.run_of(step_id)}/{keys.position_of(step_id)}/{digest}"
