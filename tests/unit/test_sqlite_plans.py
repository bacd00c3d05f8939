"""Every query uses an index, so that it is as fast with a million stored runs as with a thousand."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import apsw
import pytest

from atomic.adapters.sqlite import causes, flow, pointers, queries
from atomic.adapters.sqlite.database import close_database, open_database
from atomic.adapters.sqlite.listing import bindings, failed_list, run_list
from atomic.adapters.sqlite.schema import STEPS
from atomic.application.run_query import RunQuery
from atomic.protocol.enums import Status

FILTERS: dict[str, Any] = {
    "status": Status.FAILED,
    "workflow_name": "createUser",
    "key_prefix": "order-",
    "created_from_ms": 1_000,
    "created_before_ms": 2_000,
    "after": (1_500, "run_0-root"),
}
QUERIES = [
    RunQuery(
        client_id="acme",
        **{name: FILTERS[name] for name, chosen in zip(FILTERS, mask, strict=True) if chosen},
    )
    for mask in product([False, True], repeat=len(FILTERS))
]
# The rows of a page are looked up one by one, by the row ids from the index.
_PAGE = {"SCAN page", "CO-ROUTINE page", "SEARCH steps USING INTEGER PRIMARY KEY (rowid=?)"}
_MERGED = {"MERGE (UNION ALL)", "LEFT", "RIGHT"}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    path: Path = tmp_path_factory.mktemp("plans") / "atomic.db"
    connection = open_database(path, STEPS)
    yield connection
    close_database(connection)


def plan(connection: apsw.Connection, sql: str, values: Any) -> set[str]:
    return {row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)}


def test_lists_walk_one_index_from_the_newest_on(connection: apsw.Connection) -> None:
    for query in QUERIES:
        found = plan(connection, run_list(query, "runs"), bindings(query))
        covering = "" if query.key_prefix else "COVERING "
        index = "root_workflow" if query.workflow_name else "root_status"
        lookups = found - _PAGE - _MERGED
        assert len(lookups) == 1, query
        assert lookups.pop().startswith(f"SEARCH steps USING {covering}INDEX {index} (client_id=? AND ")


def test_few_keys_are_looked_up_and_sorted(connection: apsw.Connection) -> None:
    for query in QUERIES:
        if query.key_prefix:
            found = plan(connection, run_list(query, "keys"), bindings(query))
            lookup = "SEARCH steps USING INDEX root_key "
            lookup += "(client_id=? AND idempotency_key>? AND idempotency_key<?)"
            assert found - _PAGE == {lookup, "USE TEMP B-TREE FOR ORDER BY"}


def test_the_runs_of_a_tag_are_read_in_their_order(connection: apsw.Connection) -> None:
    for query in QUERIES:
        tagged = replace(query, tags=("customer:c-17", "env:prod"))
        found = plan(connection, run_list(tagged, "tag"), bindings(tagged))
        assert any(each.startswith("SEARCH tags USING PRIMARY KEY") for each in found), found
        # Nothing is scanned or sorted.
        assert all(each.startswith("SEARCH ") for each in found - _PAGE), found


def test_failed_steps_have_an_index_of_their_own(connection: apsw.Connection) -> None:
    for query in QUERIES:
        found = plan(connection, failed_list(query), bindings(query))
        assert len(found) == 1, found
        assert "INDEX failed (client_id=?" in found.pop()


@pytest.mark.parametrize(
    ("sql", "values", "expected"),
    [
        (queries.GET, ("i",), "INDEX sqlite_autoindex_steps_1 (id=?)"),
        (queries.RUN, ("a", "b", 1), "INDEX sqlite_autoindex_steps_1 (id>? AND id<?)"),
        (queries.OUTLINE, ("a", "b", 9), "INDEX sqlite_autoindex_steps_1 (id>? AND id<?)"),
        (queries.CHILD_STEPS, ("a", "b", "p", 9), "INDEX sqlite_autoindex_steps_1 (id>? AND id<?)"),
        (queries.CHILDREN, ("a", "b", "p", 9), "INDEX sqlite_autoindex_steps_1 (id>? AND id<?)"),
        (
            queries.DUE_OF_CLIENT,
            {"client_id": "c", "before_ms": 1},
            "INDEX due (client_id=? AND due_at_ms>? AND due_at_ms<?)",
        ),
        (queries.LIVE_WITH_STATUS, ("s", "i", 1), "COVERING INDEX live (status=? AND id>?)"),
        (queries.COUNT_LIVE, ("s", "c"), "COVERING INDEX live (status=?)"),
        (
            queries.COUNT_RUNS,
            ("s", "c", 1),
            "COVERING INDEX root_status (client_id=? AND status=? AND created_at_ms>?)",
        ),
        (queries.COUNT_FAILED, ("c",), "COVERING INDEX failed (client_id=?)"),
        (queries.OLDEST_DUE, ("c",), "COVERING INDEX due (client_id=? AND due_at_ms>?)"),
    ],
)
def test_other_queries(connection: apsw.Connection, sql: str, values: Any, expected: str) -> None:
    assert plan(connection, sql, values) == {f"SEARCH steps USING {expected}"}


def test_clients_with_due_steps_are_found_by_a_look_into_the_index_each(
    connection: apsw.Connection,
) -> None:
    found = plan(connection, queries.DUE_CLIENTS, {"before_ms": 1, "limit": 1})
    assert {line for line in found if "steps" in line} == {
        "SEARCH steps USING COVERING INDEX due",
        "SEARCH steps USING COVERING INDEX due (client_id>?)",
        "SEARCH steps USING COVERING INDEX due (client_id=? AND due_at_ms>?)",
    }


@pytest.mark.parametrize("sql", [queries.INSERT, queries.UPDATE_PROGRESS])
def test_a_write_makes_no_temporary_table(connection: apsw.Connection, sql: str) -> None:
    """An index whose condition is a list of more than two values would create one for each write."""
    program = connection.execute(f"EXPLAIN {sql}", (None,) * sql.count("?"))
    assert "OpenEphemeral" not in {opcode for _, opcode, *_ in program}


def test_purge_walks_what_expires(connection: apsw.Connection) -> None:
    root = "SEARCH root USING INDEX sqlite_autoindex_steps_1 (id=?)"
    found = plan(connection, queries.FORGOTTEN, {"now_ms": 1, "limit": 1})
    assert {"SEARCH steps USING INDEX expiry (expires_at_ms<?)", root} < found
    found = plan(connection, queries.DELETE_FORGOTTEN, {"now_ms": 1, "id": "i"})
    assert {"SEARCH steps USING INDEX sqlite_autoindex_steps_1 (id=?)", root} < found


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("_IN_LINE", ("acme", "k", 10)),
        ("_SLOTS", ("acme", "k", 10)),
        ("_COUNT_SLOTS", ("acme", "k")),
        ("_LEASED", (1_000, 10)),
        ("_ONE", ("acme", "k")),
        ("_PAGE", ("acme", "k", 10)),
        ("_IDLE", (1_000, 10)),
    ],
)
def test_flow_control_neither_scans_nor_sorts(
    connection: apsw.Connection, name: str, values: tuple[Any, ...]
) -> None:
    for step in plan(connection, getattr(flow, name), values):
        assert not step.startswith(("SCAN", "USE TEMP B-TREE")), step


def test_a_pointer_is_found_by_its_key_and_purged_by_its_time(connection: apsw.Connection) -> None:
    found = plan(connection, pointers.GET_POINTER, ("acme", "singleton", "k"))
    assert found == {"SEARCH pointers USING PRIMARY KEY (client_id=? AND kind=? AND key=?)"}
    found = plan(connection, pointers.PURGE_POINTERS, (1,))
    assert found == {"SEARCH pointers USING INDEX pointer_expiry (expires_at_ms<?)"}


def test_failed_runs_are_read_in_their_order(connection: apsw.Connection) -> None:
    """By their cause, or all that were dismissed or need action."""
    for query, dismissed in product(QUERIES, [None, False, True]):
        by_cause = replace(query, dismissed=dismissed, cause="0123456789abcdef")
        for failed, index in ((by_cause, "causes"), (replace(query, dismissed=False), "failed_runs")):
            found = plan(connection, run_list(failed, "failed"), bindings(failed))
            assert all(
                f"INDEX {index} (client_id=? AND is_dismissed=?" in each for each in found - _PAGE - _MERGED
            )


def test_causes_are_counted_from_the_index_alone(connection: apsw.Connection) -> None:
    values = {"client_id": "c", "is_dismissed": 0, "workflow": None, "limit": 9, "cause": "x"}
    of_cause = "(client_id=? AND is_dismissed=? AND cause=?)"
    found = plan(connection, causes.GROUPS, values)
    assert {line for line in found if "steps" in line} == {
        "SEARCH steps USING COVERING INDEX causes (client_id=? AND is_dismissed=? AND cause>?)",
        f"SEARCH steps USING COVERING INDEX causes {of_cause}",
        # The name of the workflow, of one row.
        f"SEARCH steps USING INDEX causes {of_cause}",
    }
    assert plan(connection, causes.OLDEST, values) == {
        f"SEARCH steps USING COVERING INDEX causes {of_cause}"
    }
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan(connection, causes.NEWEST, values)
