"""CSV imports: what a mapping says, what a wrong line costs, what a dry run tells, and all or nothing."""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import StorageUnavailable
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.party_changes import ContractChange, NumberChange, PartyChange
from callrec.privacy.relationship_import import MOST_ROWS, read_import
from callrec.privacy.retention_classes import PartyKind
from callrec.recorder.garbage import collect_garbage_rarely
from callrec.tasks import Tasks
from tests.catalogue.house import CALLER, NAME, OTHER, files_with, spellings
from tests.support.promises import WHO, Office, office

TODAY = date(2026, 11, 25)
MAP = """
[columns]
"Customer No" = "ref"
"First" = "name"
"Last" = "name"
"Phone" = "number"
"Mobile" = "number"
"Type" = "kind"
"Since" = "since"
"Left" = "ended"

[kinds]
"Kunde" = "customer"

[file]
dates = "%d/%m/%Y"
"""
HEADER = "Customer No,First,Last,Phone,Mobile,Type,Since,Left,Remarks"


def read(*lines: str, mapping: str = MAP) -> list[PartyChange]:
    """Return what a file says."""
    return read_import("\n".join((HEADER, *lines)), mapping, TODAY, "GB")[1]


def test_columns_say_what_the_mapping_says() -> None:
    """Several columns make a name and give numbers; kinds and dates are as the file writes them; others are left."""
    (change,) = read("C-1,Jane,O'Neill-Smith,01632 960001 ; 01632 960002,07700 900123,Kunde,01/05/2024,,VIP")
    assert change == PartyChange(
        ref="C-1",
        name=NAME,
        kind=PartyKind.CUSTOMER,
        since=date(2024, 5, 1),
        runs=True,
        numbers=(NumberChange(CALLER), NumberChange(OTHER), NumberChange("+447700900123")),
    )


def test_a_file_from_a_spreadsheet_is_read() -> None:
    """A byte order mark, Windows line ends, quoted cells over two lines, blank lines and a trailing one."""
    text = f'\ufeff{HEADER}\r\nC-1,"Jane","O""Neill",,,,,,"two\r\nlines"\r\n,,,,,,,,\r\n\r\nC-2,,,,,,,,\r\n'
    rows, changes = read_import(text, MAP, TODAY, "GB")
    assert rows == 2
    assert [(change.ref, change.name) for change in changes] == [("C-1", 'Jane O"Neill'), ("C-2", None)]


def test_several_lines_are_one_party() -> None:
    """Each adds a number or a contract; of two names the later has the word."""
    mapping = """
    [columns]
    ref = "ref"
    name = "name"
    tel = "number"
    from = "number_since"
    to = "number_until"
    contract = "contract"
    begins = "contract_start"
    ends = "contract_end"
    [file]
    delimiter = ";"
    numbers_apart = "/"
    kind = "enquirer"
    """
    text = "\n".join(
        (
            "ref;name;tel;from;to;contract;begins;ends",
            "C-1;Old;01632960001;2020-01-01;2024-01-01;K-1;2020-01-01;2027-01-01",
            "C-1;New;01632960002/01632960003;;;K-2;2027-01-01;",
        )
    )
    (change,) = read_import(text, mapping, TODAY, "GB")[1]
    assert change.name == "New"
    assert change.kind is PartyKind.ENQUIRER
    assert not change.runs
    assert [one.number for one in change.numbers] == [CALLER, OTHER, "+441632960003"]
    assert change.numbers[0] == NumberChange(CALLER, date(2020, 1, 1), date(2024, 1, 1))
    assert change.contracts == (
        ContractChange("K-1", date(2020, 1, 1), date(2027, 1, 1)),
        ContractChange("K-2", date(2027, 1, 1), None),
    )


def test_every_wrong_line_is_told() -> None:
    """One sentence for each, with its line; also of lines behind a cell that is two lines long."""
    with pytest.raises(OperatorError) as caught:
        read(
            'C-1,Jane,X,,,,,,"two\nlines"',
            "C-2,Jane,X,12,,,,,",
            "C-3,Jane,X,,,friend,,,",
            "C-4,Jane,X,,,,2024-05-01,,",
            "C-5,Jane,X,,,,01/12/2026,,",
            "C-6,Jane,X,,,,,,,",
            ",Jane,X,,,,,,",
            "C-7,Jane,X,01632960001,,,,,",
            "C-8,Joan,X,,01632960001,,,,",
            "C-9,Jane,X,,,,,01/12/2026,",
        )
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value).split("\n") == [
        "nothing was imported: 8 lines are wrong",
        "line 4: number '12': expected a telephone number, such as 01632 960001 or +441632960001",
        "line 5: kind 'friend': expected one of customer, enquirer, applicant, employee, unmatched",
        "line 6: since: found '2024-05-01', expected a date such as 22/11/2026",
        "line 7: since: found 2026-12-01, which has not come yet; expected a date up to today, 2026-11-25",
        "line 8: found 10 cells, expected 9, as the first line has",
        "line 9: relationship '': expected one line of 1 to 64 characters",
        "line 11: number +441632960001: line 10 gives it to C-7 at the same time",
        "line 12: ended: found 2026-12-01, which has not come yet; expected a date up to today, 2026-11-25",
    ]


def test_a_file_full_of_faults_tells_the_first_fifty() -> None:
    """Nobody reads ten thousand sentences."""
    with pytest.raises(OperatorError) as caught:
        read(*["C-1,,,12,,,,,"] * 10_000)
    lines = str(caught.value).split("\n")
    assert len(lines) == 52
    assert lines[-1] == "and 9950 more lines"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("Customer No,First\nC-1,Jane", "column 'Last': found no such column"),
        (f"{HEADER},Phone\n", "column 'Phone': found 2 columns of that name"),
        (f'{HEADER}\nC-1,"Jane', "line 2: unexpected end of data"),
        (f'{HEADER}\nC-1,"Jane"x,,,,,,,', "line 2: ',' expected after '\"'"),
        (f"{HEADER}\nC-1,\0,,,,,,,", "expected one line of 1 to 200"),
        (f"{HEADER}\nC-1,{'x' * 5000},,,,,,,", "found 5000 characters"),
    ],
)
def test_a_file_that_is_no_csv_is_refused(text: str, sentence: str) -> None:
    """Empty, without a column, with one twice, with broken quotes or a monstrous cell."""
    with pytest.raises(OperatorError) as caught:
        read_import(text, MAP, TODAY, "GB")
    assert sentence in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_file_has_an_end() -> None:
    """So that memory has one: a larger one is imported in parts."""
    text = "ref\n" + "".join(f"{n}\n" for n in range(MOST_ROWS + 1))
    with pytest.raises(OperatorError, match=f"more than {MOST_ROWS} rows"):
        read_import(text, '[columns]\nref = "ref"', TODAY, "GB")


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ("[columns", "expected TOML"),
        ("[column]\n", "expected the tables [columns], [kinds], [file]"),
        ("columns = 1", "[columns] must hold lines"),
        ('[columns]\nA = "customer"', "column 'A': found 'customer', expected one of ref, name"),
        ('[columns]\nA = "name"', 'no column is "ref"'),
        ('[columns]\nA = "ref"\nB = "ref"', "another column says 'ref' already"),
        ('[columns]\nA = "ref"\nB = "number_since"', 'a column is "number_since", but none is "number"'),
        ('[columns]\nA = "ref"\n[kinds]\nX = "friend"', "kind 'friend': expected one of"),
        ('[columns]\nA = "ref"\n[file]\ndelimiter = ";;"', "file.delimiter: found ';;', expected one character"),
        ('[columns]\nA = "ref"\n[file]\nencoding = "x"', "found file.encoding"),
        ('[columns]\nA = "ref"\n[file]\nkind = "x"', "kind 'x': expected one of"),
    ],
)
def test_a_wrong_mapping_is_one_sentence(mapping: str, sentence: str) -> None:
    """The key, what was found and what was expected."""
    with pytest.raises(OperatorError) as caught:
        read_import("A,B\n1,2\n", mapping, TODAY, "GB")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


async def bring_in(here: Office, *lines: str, dry_run: bool = False) -> dict[str, Any]:
    """Import a file."""
    return await here.book.import_file("\n".join((HEADER, *lines)), MAP, dry_run=dry_run, actor=WHO)


async def test_an_import_says_what_it_did(tmp_path: Path) -> None:
    """New, changed and unchanged parties are counted; the calls of each are tied."""
    async with office(tmp_path) as here:
        call = await here.call(CALLER)
        told = await bring_in(here, "C-1,Jane,X,01632960001,,,,,", "C-2,Joan,Y,01632960002,,enquirer,,,")
        move = {"call_id": call, "before": "2028-11-20", "after": None, "goes_now": False}
        assert told == {"rows": 2, "created": 2, "changed": 0, "unchanged": 0, "moves": [move], "dry_run": False}
        assert await here.tied(call) == ("C-1", "customer", None)
        told = await bring_in(here, "C-1,Jane,X,01632960001,,,,,", "C-2,Joan,Z,01632960002,,enquirer,,,")
        assert (told["created"], told["changed"], told["unchanged"], told["moves"]) == (0, 1, 1, [])
        assert (await here.book.show("C-2"))["name"] == "Joan Z"
        actions = [entry["action"] for entry in await here.stores.catalogue.audit_entries()]
        assert actions == ["relationship import"] * 2


async def test_a_dry_run_tells_which_dates_move_and_changes_nothing(tmp_path: Path) -> None:
    """What an import would move is exactly what it then moves; what would go at once is said."""
    async with office(tmp_path) as here:
        await bring_in(here, "C-1,Jane,X,01632960001,,,,,", "C-2,Joan,Y,01632960002,,,,,")
        gone = await here.call(CALLER, "2026-11-10")
        late = await here.call(CALLER, "2026-11-22")
        kept = await here.call(OTHER, "2026-11-10")
        moved = await here.call("+441632960003", "2026-11-10")
        lines = ("C-1,Jane,X,,,,,20/11/2026,", "C-3,New,Z,01632960003,,,,,", "C-2,Joan,Y,01632960002,,,,,")
        before = [await here.tied(call) for call in (gone, late, kept, moved)]
        foreseen = await bring_in(here, *lines, dry_run=True)
        assert [await here.tied(call) for call in (gone, late, kept, moved)] == before
        assert await here.book.party_id("C-3") is None
        expected = {
            gone: (None, "2026-11-20", True),
            late: (None, "2028-11-22", False),
            moved: ("2028-11-10", None, False),
        }
        assert {m["call_id"]: (m["before"], m["after"], m["goes_now"]) for m in foreseen["moves"]} == expected
        done = await bring_in(here, *lines)
        assert done == {**foreseen, "dry_run": False}
        assert await here.tied(gone) == ("C-1", "customer", "2026-11-20")
        assert await here.tied(late) == ("C-1", "unmatched", "2028-11-22")
        assert await here.tied(moved) == ("C-3", "customer", None)


async def test_one_wrong_line_changes_nothing(tmp_path: Path) -> None:
    """Also one that only the parties as they are show to be wrong: an end before the known beginning."""
    async with office(tmp_path) as here:
        await bring_in(here, "C-1,Jane,X,,,,01/05/2024,,")
        for wrong in ("C-3,Jane,X,12,,,,,", "C-1,Jane,X,,,,,30/04/2024,"):
            with pytest.raises(OperatorError) as caught:
                await bring_in(here, "C-2,Joan,Y,01632960002,,,,,", wrong)
            assert caught.value.exit_code is ExitCode.USAGE
            assert await here.book.party_id("C-2") is None


async def test_silence_ends_with_an_import(tmp_path: Path) -> None:
    """An import in which nothing is new is a word, too: the relationships last (LAW-60)."""
    async with office(tmp_path) as here:
        await bring_in(here, "C-1,Jane,X,,,,,,")
        here.stores.clock.advance(date(2026, 12, 9) - TODAY)
        assert (await here.book.feed())["level"] == "critical"
        told = await bring_in(here, "C-1,Jane,X,,,,,,")
        assert told["unchanged"] == 1
        assert (await here.book.feed())["level"] is None
        assert (await here.book.show("C-1"))["confirmed_on"] == "2026-12-09"


LINES = [f"C-{n},Jane,X,0163296{n:04},,,,," for n in range(250)]


class Plug(BaseException):
    """The plug is pulled: no handler runs."""


async def test_before_it_is_decided_a_crash_leaves_nothing(tmp_path: Path) -> None:
    """The plug is pulled while the changes are gathered: the next start drops them, and their key."""
    async with office(tmp_path) as here:

        async def unplugged(_import_id: str) -> None:
            raise Plug

        here.book.imports._rows.decide = unplugged  # type: ignore[method-assign]
        with pytest.raises(Plug):
            await bring_in(here, *LINES)
        (waiting,) = await here.book.imports._rows.all()
        needles = [b"Jane", b"C-249", *spellings("+441632960249")]
        assert files_with(tmp_path, needles) == []
    async with office(tmp_path) as here:
        await here.book.resume()
        assert await here.book.party_id("C-0") is None
        assert await here.book.imports._rows.all() == []
        assert await here.stores.keyring.existing([waiting.key_id]) == set()


@pytest.mark.parametrize("pieces", [0, 1, 2])
async def test_once_decided_a_crash_completes_it(tmp_path: Path, pieces: int) -> None:
    """The plug is pulled after some pieces: the next start applies the rest, each party once, and ties the calls."""
    async with office(tmp_path) as here:
        calls = [await here.call(f"+44163296{n:04}") for n in (0, 249)]
        write, done = here.book._parties.write, []

        async def unplugged(*args: Any, **named: Any) -> None:
            if len(done) == pieces:
                raise Plug
            await write(*args, **named)
            done.append(args)

        here.book._parties.write = unplugged  # type: ignore[method-assign]
        with pytest.raises(Plug):
            await bring_in(here, *LINES)
    async with office(tmp_path) as here:
        await here.book.resume()
        assert [(await here.tied(call))[0] for call in calls] == ["C-0", "C-249"]
        told = await bring_in(here, *LINES)
        assert (told["created"], told["unchanged"]) == (0, 250)
        assert await here.book.imports._rows.all() == []


async def test_a_disk_that_fails_before_the_word_costs_nothing(tmp_path: Path) -> None:
    """The store cannot be written: the import is refused, and can be tried again."""
    async with office(tmp_path) as here:
        gather = here.book.imports._rows.gather

        async def broken(_import_id: str, _bodies: object) -> None:
            raise StorageUnavailable("the disk is full")

        here.book.imports._rows.gather = broken  # type: ignore[method-assign]
        with pytest.raises(StorageUnavailable):
            await bring_in(here, *LINES)
        here.book.imports._rows.gather = gather  # type: ignore[method-assign]
        told = await bring_in(here, *LINES)
        assert told["created"] == 250


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_fifty_thousand_parties_hold_up_no_call(tmp_path: Path) -> None:
    """An import of 50,000 parties: rows of new calls are durable meanwhile in the time a call may wait.

    Ninety-nine of a hundred, for this machine may do something else as well.
    """
    async with office(tmp_path) as here:
        call = await here.call("+441632000007")
        lines = [f"C-{n},Jane,Name{n},01632{n:06},,,,," for n in range(50_000)]
        waits: list[float] = []

        async def calls() -> None:
            while True:
                begun = time.monotonic()
                await here.stores.open_call()
                waits.append(time.monotonic() - begun)
                await asyncio.sleep(0.02)

        usual = gc.get_threshold()
        collect_garbage_rarely()  # as the recorder does
        tasks = Tasks("test")
        tasks.start("calls", calls())
        begun = time.monotonic()
        told = await bring_in(here, *lines)
        took = time.monotonic() - begun
        await tasks.stop()
        gc.set_threshold(*usual)
        gc.unfreeze()
        assert told["created"] == 50_000
        assert (await here.tied(call))[0] == "C-7"
        assert sorted(waits)[len(waits) * 99 // 100] < 0.45, f"the slowest waited {max(waits):.3f} s"
        assert took < 400
