"""`callrec delete`: shown, asked, done, verified."""

from __future__ import annotations

from tests.api.fake_recorder import item_of
from tests.api.serving import ME
from tests.console.conftest import Desk


def test_without_a_terminal_and_without_yes_nothing_is_deleted(served: Desk) -> None:
    """contract.md: exit code 2; what would have gone was shown, masked."""
    served.recorder.items = [item_of(1)]
    for arguments in (("delete", "CALL001"), ("delete", "CALL001", "--no-input"), ("delete", "CALL001", "--json")):
        ran = served.run(*arguments)
        assert ran.code == 2
        assert "CALL001" in ran.out + ran.err
        assert "9460" not in ran.out + ran.err
    assert len(served.recorder.items) == 1


def test_yes_deletes_and_prints_what_each_store_did(served: Desk) -> None:
    """The result names every store and whether reading was tried in vain."""
    served.recorder.items = [item_of(1), item_of(2)]
    ran = served.run("delete", "00000001", "--yes", "--reason", "letter of 3 May")
    assert ran.code == 0
    assert "verified: gone  (keyring destroyed; recordings removed)" in ran.out
    assert [item["sequence"] for item in served.recorder.items] == [2]
    assert served.recorder.reasons == [f"{ME}: letter of 3 May"]


def test_programs_get_the_result_as_one_document(served: Desk) -> None:
    """--json prints the result, and nothing else."""
    served.recorder.items = [item_of(1)]
    document = served.run("delete", "--number", "+44 20 7946 0123", "--yes", "--json").document
    assert (document["verified"], [item["call_id"] for item in document["items"]]) == (True, [item_of(1)["call_id"]])


def test_a_person_is_asked_and_may_say_no(served: Desk) -> None:
    """At a terminal the answer counts: no leaves everything, yes deletes."""
    served.recorder.items = [item_of(1)]
    assert served.run_at_terminal("n\n", "delete", "CALL001").code == 1
    assert len(served.recorder.items) == 1
    ran = served.run_at_terminal("y\n", "delete", "CALL001")
    assert (ran.code, served.recorder.items) == (0, [])
    assert "Delete 1 call for good?" in ran.out


def test_no_input_never_asks(served: Desk) -> None:
    """--no-input at a terminal behaves as without one."""
    served.recorder.items = [item_of(1)]
    assert served.run_at_terminal("y\n", "delete", "CALL001", "--no-input").code == 2
    assert len(served.recorder.items) == 1


def test_a_number_without_calls_is_done(served: Desk) -> None:
    """Nothing to delete is no failure; nobody is asked."""
    ran = served.run("delete", "--number", "020 7946 0555")
    assert (ran.code, ran.out) == (0, "No such call was found; nothing was deleted.\n")


def test_ids_or_a_number_never_both_never_neither(served: Desk) -> None:
    """Deleting is never guessed."""
    for arguments in (("delete",), ("delete", "CALL001", "--number", "02079460123"), ("delete", "--number", "*0123")):
        assert served.run(*arguments, "--yes").code == 2


def test_what_cannot_be_verified_is_a_failure(served: Desk) -> None:
    """If something could still be read, the command fails and says so."""
    served.recorder.items, served.recorder.erasing_works = [item_of(1)], False
    ran = served.run("delete", "CALL001", "--yes")
    assert ran.code == 1
    assert "NOT VERIFIED" in ran.out
