"""The keys that KMS decrypts, as docs/encryption.md has them, on moto."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from atomic.sdk import Where
from docs.pages import DOCS, file_on

PLACE = Where(run_id="run_1", step_id="run_1-root", kind="step", part="payload")


@pytest.fixture
def kms_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("ACCESS_KEY_ID", "x"),
        ("SECRET_ACCESS_KEY", "x"),
        ("DEFAULT_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    module = ModuleType("kms_keys")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with mock_aws():
        exec(
            compile(file_on(DOCS / "encryption.md", "kms_keys.py"), "kms_keys.py", "exec"), module.__dict__
        )
        yield module


def test_data_keys_of_kms_are_rotated(kms_keys: ModuleType, tmp_path: Path) -> None:
    master = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    kms_keys.add_key("2026-05", master)
    old = kms_keys.encryption.encode("a letter", PLACE)
    kms_keys.add_key("2026-11", master)
    plain = kms_keys.fetch()
    assert list(plain) == ["2026-11", "2026-05"]
    stored = json.loads((tmp_path / "keys.json").read_text())
    assert stored.keys() == plain.keys()
    rotated = type(kms_keys.encryption)(kms_keys.fetch)
    assert rotated.encode("a letter", PLACE)["$enc"]["k"] == "2026-11"
    assert list(rotated.encode_older("a letter", PLACE)) == [old]
    assert rotated.decode(old, PLACE) == "a letter"


def test_a_data_key_under_another_id_is_refused_by_kms(kms_keys: ModuleType, tmp_path: Path) -> None:
    master = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    kms_keys.add_key("2026-05", master)
    [blob] = json.loads((tmp_path / "keys.json").read_text()).values()
    (tmp_path / "keys.json").write_text(json.dumps({"other": blob}))
    with pytest.raises(ClientError):
        kms_keys.fetch()
