"""Each port has one contract suite, and every implementation of the port runs it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REPO: Final = Path(__file__).parents[2]
PACKAGE: Final = REPO / "layers/atomic/atomic"
CONTRACTS: Final = REPO / "tests/contract"
PORTS: Final = (PACKAGE / "application/ports.py", PACKAGE / "application/backend.py")
# These are parts of another port and tested with it: of `Notifier`, and of `StepStore` with `LiveSteps`.
PARTS: Final = {"Subscription": "Notifier", "ServerStore": "LiveSteps"}
# These registries know every client and no key, so most of the suite does not apply to them.
WITHOUT_KEYS: Final = {"OpenRegistry"}

Methods = dict[str, tuple[str, ...]]


def classes(path: Path) -> Iterator[ast.ClassDef]:
    """The classes of a module."""
    return (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef))


def methods(node: ast.ClassDef) -> Methods:
    """The public methods of a class, with the names of their parameters; properties are left out."""
    return {
        each.name: tuple(arg.arg for arg in (*each.args.args, *each.args.kwonlyargs))
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and not each.name.startswith("_")
        and not any(isinstance(name, ast.Name) and name.id == "property" for name in each.decorator_list)
    }


def names(path: Path) -> set[str]:
    """Every name that a module uses or imports."""
    tree = ast.parse(path.read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    return used | imported


def used_by(path: Path) -> set[str]:
    """The names that a test module uses, and those of the modules that several test modules share."""
    text = path.read_text()
    shared = [each for each in SHARED if f"from contract.{each.stem} import" in text]
    return names(path).union(*(names(each) for each in shared))


def base_names(node: ast.ClassDef) -> set[str]:
    """The classes that a class inherits from."""
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


PROTOCOLS: Final = {
    node.name: methods(node) for path in PORTS for node in classes(path) if "Protocol" in base_names(node)
}
# Parts of a class that are in modules of their own, by name.
PARTS_OF_CLASSES: Final = {
    node.name: node for path in PACKAGE.rglob("*.py") for node in classes(path) if "ABC" in base_names(node)
}
# The module of a suite names its port; the test modules are those that inherit one of its classes.
SUITES: Final = {path: names(path) for path in sorted(CONTRACTS.glob("*_contract.py"))}
SHARED: Final = (CONTRACTS / "aws.py", CONTRACTS / "server_contracts.py")
TESTS: Final = {path: used_by(path) for path in sorted(CONTRACTS.glob("test_*.py"))}


def suites_of(port: str) -> set[str]:
    """The contract classes of a port."""
    mine = {path for path, used in SUITES.items() if port in used}
    return {node.name for path in mine for node in classes(path) if node.name.endswith("Contract")}


def implementations(port: str) -> set[str]:
    """The classes of the package that have each method of the port, with the same parameters."""
    wanted = PROTOCOLS[port]
    return {
        node.name
        for path in PACKAGE.rglob("*.py")
        if path not in PORTS
        for node in classes(path)
        if wanted and wanted.items() <= inherited(node).items()
    }


def inherited(node: ast.ClassDef) -> Methods:
    """The methods of a class, with those of its parts."""
    found: Methods = {}
    for base in base_names(node) & PARTS_OF_CLASSES.keys():
        found |= inherited(PARTS_OF_CLASSES[base])
    return found | methods(node)


def test_the_ports_are_found() -> None:
    assert {"StepStore", "WakeupQueue", "StartRates", "Backend", "Clock"} <= PROTOCOLS.keys()


@pytest.mark.parametrize("port", sorted(PROTOCOLS.keys() - PARTS.keys()))
def test_a_port_has_one_contract_suite(port: str) -> None:
    assert suites_of(port), f"write tests/contract/…_contract.py for {port}"


@pytest.mark.parametrize("port", sorted(PROTOCOLS.keys() - PARTS.keys()))
def test_whatever_implements_a_port_runs_its_suite(port: str) -> None:
    running = [used for used in TESTS.values() if used & suites_of(port)]
    missing = {
        name for name in implementations(port) - WITHOUT_KEYS if not any(name in used for used in running)
    }
    assert missing == set()


def test_implementations_are_found_by_their_methods() -> None:
    assert implementations("StartRates") == {"CountedStarts", "SharedStarts"}
    assert implementations("Notifier") == {"MemoryNotifier", "PollingNotifier"}
    assert implementations("Clock") == {"SystemClock", "SteadyClock", "LoopClock"}
    assert {"SqliteStepStore", "DynamoStepStore"} <= implementations("StepStore")
    assert "SqliteBackend" in implementations("Backend")
