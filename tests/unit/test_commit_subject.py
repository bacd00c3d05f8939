"""The faults that `scripts/commit_subject.py` finds in commit messages."""

from pathlib import Path

import pytest

from commit_subject import faults_of, main

LONGEST = "Wake " + "a" * 67


@pytest.mark.parametrize(
    "message",
    [
        "Wake a waiting parent once",
        "Wake a waiting parent once\n",
        "Wake a waiting parent once\n\nTwo wake-ups cost two reads.\nOne is enough.\n",
        LONGEST,
        f"fixup! {LONGEST}",
        "fixup! squash! Wake a waiting parent once",
        "Ärger is a capital letter, too",
        "\n# a comment of git\nWake a parent\n# Please enter the commit message\n\n",
        "Wake a parent\n\nWhy.\n# ------------------------ >8 ------------------------\nand the change\n",
        "Wake a parent\n# ------------------------ >8 ------------------------\ndiff --git a b\n",
    ],
)
def test_a_good_message_passes(message: str) -> None:
    assert faults_of(message) == []


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", "the message is empty"),
        ("# only\n# comments\n", "the message is empty"),
        (LONGEST + "a", "the subject has 73 characters; 72 are the most"),
        ("fixup! " + LONGEST + "a", "the subject has 73 characters; 72 are the most"),
        ("wake a parent", "the subject does not start with a capital letter"),
        ("fixup! wake a parent", "the subject does not start with a capital letter"),
        ("1 parent is woken", "the subject does not start with a capital letter"),
        ("Wake a parent.", "the subject ends with a full stop"),
        ("Wake a parent.  \n", "the subject ends with a full stop"),
        ("Wake a parent\nand say why", "an empty line is missing below the subject"),
    ],
)
def test_a_fault_is_named(message: str, fault: str) -> None:
    assert faults_of(message) == [fault]


def test_all_faults_are_named_at_once() -> None:
    assert len(faults_of("wake " + "a" * 80 + ".\nwhy")) == 4


def test_the_program_reads_the_file_that_git_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text("Wake a parent\n", encoding="utf-8")
    assert main([str(message)]) == 0
    message.write_text("wake a parent\n", encoding="utf-8")
    assert main([str(message)]) == 1
    assert capsys.readouterr().err == "commit message: the subject does not start with a capital letter\n"
