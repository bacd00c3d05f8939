"""The scripts that run servers on this machine listen where only this machine can reach them."""

import sys
from pathlib import Path

import pytest

from aws_local import emulator, endpoint, one_address
from sam_local import address_of


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "localhost"])
def test_no_script_listens_on_every_interface(host: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is every interface|not appear to be an IP"):
        one_address(host)
    with pytest.raises(ValueError, match=r"is every interface|not appear to be an IP"), endpoint(host):
        pass
    with (
        pytest.raises(ValueError, match=r"is every interface|not appear to be an IP"),
        emulator(tmp_path, 1, host),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="containers are reached by a bridge on Linux only")
def test_the_address_of_a_bridge_is_that_of_its_interface() -> None:
    assert address_of("lo") == "127.0.0.1"
    with pytest.raises(OSError, match="No such device"):
        address_of("")
