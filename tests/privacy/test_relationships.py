"""The book of relationships: who a party is, whose a number was when, and what follows for calls."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import CallIdentity, StorageUnavailable
from callrec.errors import ExitCode, OperatorError
from callrec.vault.keyring_errors import KeyDestroyed
from tests.catalogue.house import CALLER, NAME, OTHER, OURS, files_with, spellings
from tests.support.promises import RULE, WHO, Office, office, settings_of

UNMATCHED_END = "2028-11-20"


async def test_what_is_said_of_a_party_is_shown(tmp_path: Path) -> None:
    """Name, kind, dates, numbers in any spelling and contracts; what is not named later stays as it is."""
    async with office(tmp_path) as here:
        contract = {"ref": "K-7", "starts_on": "2024-05-01", "ends_on": "2027-04-30"}
        said = await here.book.set(
            "C-1",
            name=NAME,
            numbers=["01632 960001", "+44 (0)1632 960002"],
            kind="enquirer",
            since="2024-05-01",
            contracts=[contract],
            actor=WHO,
        )
        assert said == await here.book.show("C-1")
        assert said == {
            "relationship_id": "C-1",
            "name": NAME,
            "kind": "enquirer",
            "since": "2024-05-01",
            "ended_on": None,
            "confirmed_on": "2026-11-25",
            "numbers": [
                {"number": CALLER, "since": None, "until": None},
                {"number": OTHER, "since": None, "until": None},
            ],
            "contracts": [contract],
            "calls": 0,
        }
        changed = await here.book.set("C-1", kind="customer", actor=WHO)
        assert changed == {**said, "kind": "customer"}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "friend"}, "kind 'friend': expected one of customer, enquirer, applicant, employee, unmatched"),
        ({"since": "2026-11-26"}, "since: found 2026-11-26, which has not come yet"),
        ({"since": "26/11/2026"}, "since: found '26/11/2026', expected a date such as"),
        ({"numbers": ["12"]}, "number '12': expected a telephone number"),
        ({"numbers": [{"number": CALLER, "since": "2026-12-01"}]}, "which has not come yet"),
        ({"numbers": [{"number": CALLER, "since": "2026-02-01", "until": "2026-02-01"}]}, "expected a day after"),
        ({"contracts": [{"ref": "K", "starts_on": "2026-02-01", "ends_on": "2026-01-01"}]}, "before its beginning"),
        ({"name": " "}, "name ' ': expected one line"),
        ({"name": "two\nlines"}, "expected one line"),
        ({"numbers": [f"+44163296{n:04}" for n in range(101)]}, "found 101 numbers, expected at most 100"),
    ],
)
async def test_what_cannot_be_is_refused_in_one_sentence(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    """Bad input: exit code 2, and nothing is changed."""
    async with office(tmp_path) as here:
        before = await here.book.set("C-1", name="A", numbers=[CALLER], actor=WHO)
        with pytest.raises(OperatorError) as caught:
            await here.book.set("C-1", **fields, actor=WHO)
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code is ExitCode.USAGE
        assert await here.book.show("C-1") == before


async def test_who_is_unknown_is_told(tmp_path: Path) -> None:
    """To show or end the relationship of nobody is exit code 3."""
    async with office(tmp_path) as here:
        for asked in (here.book.show("C-9"), here.book.end("C-9", date(2026, 1, 1), WHO)):
            with pytest.raises(OperatorError, match="C-9") as caught:
                await asked
            assert caught.value.exit_code is ExitCode.NOT_FOUND
        assert await here.book.party_id("C-9") is None


async def test_law_58_older_enquiries_become_the_customers(tmp_path: Path) -> None:
    """LAW-58: an enquirer who becomes a customer is classed anew, older enquiries too, and they stay."""
    async with office(tmp_path) as here:
        call = await here.call(CALLER)
        assert await here.tied(call) == (None, "unmatched", UNMATCHED_END)
        await here.book.set("C-1", numbers=[CALLER], kind="enquirer", since="2026-11-22", actor=WHO)
        assert await here.tied(call) == ("C-1", "enquirer", UNMATCHED_END)
        told = await here.book.set("C-1", kind="customer", actor=WHO)
        assert told["calls"] == 1
        assert await here.tied(call) == ("C-1", "customer", None)


async def test_law_56_what_was_kept_for_a_relationship_goes_with_it(tmp_path: Path) -> None:
    """LAW-56: the end of the relationship is the last day of its calls; a call after it is nobody's."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], since="2020-01-01", actor=WHO)
        call = await here.call(CALLER)
        later = await here.call(CALLER, "2026-11-24")
        told = await here.book.end("C-1", date(2026, 11, 22), WHO)
        assert told["ended_on"] == "2026-11-22"
        assert await here.tied(call) == ("C-1", "customer", "2026-11-22")
        assert await here.tied(later) == ("C-1", "unmatched", "2028-11-24")


async def test_law_58_who_returns_reopens_what_is_still_there(tmp_path: Path) -> None:
    """LAW-58: a beginning after the end lets the relationship run again; the same beginning said again does not."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], since="2020-01-01", actor=WHO)
        call = await here.call(CALLER)
        await here.book.end("C-1", date(2026, 11, 22), WHO)
        told = await here.book.set("C-1", since="2020-01-01", name=NAME, actor=WHO)
        assert told["ended_on"] == "2026-11-22"
        told = await here.book.set("C-1", since="2026-11-23", actor=WHO)
        assert (told["since"], told["ended_on"]) == ("2026-11-23", None)
        assert await here.tied(call) == ("C-1", "customer", None)


@pytest.mark.parametrize(
    ("on", "sentence"), [("2026-11-26", "has not come yet"), ("2019-12-31", "before its beginning 2020-01-01")]
)
async def test_an_end_that_cannot_be_is_refused(tmp_path: Path, on: str, sentence: str) -> None:
    """A relationship ends neither in the future nor before it began; nothing is changed."""
    async with office(tmp_path) as here:
        before = await here.book.set("C-1", since="2020-01-01", actor=WHO)
        with pytest.raises(OperatorError, match=sentence) as caught:
            await here.book.end("C-1", date.fromisoformat(on), WHO)
        assert caught.value.exit_code is ExitCode.USAGE
        assert await here.book.show("C-1") == before


async def test_a_number_that_moves_ends_at_its_first_holder(tmp_path: Path) -> None:
    """Calls before the day are the first holder's, calls from it on the second's, whenever they are looked at."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        before, after = await here.call(CALLER, "2026-10-31"), await here.call(CALLER, "2026-11-01")
        await here.book.set("C-2", numbers=[CALLER], since="2026-11-01", kind="enquirer", actor=WHO)
        assert (await here.tied(before))[0] == "C-1"
        assert await here.tied(after) == ("C-2", "enquirer", "2028-11-01")
        first, second = await here.book.show("C-1"), await here.book.show("C-2")
        assert first["numbers"] == [{"number": CALLER, "since": None, "until": "2026-11-01"}]
        assert second["numbers"] == [{"number": CALLER, "since": "2026-11-01", "until": None}]
        ids = [await here.book.party_id(ref) for ref in ("C-1", "C-2")]
        assert await here.book.party_of_numbers([CALLER], date(2026, 10, 31)) == ids[0]
        assert await here.book.party_of_numbers([OTHER, CALLER], date(2026, 11, 1)) == ids[1]
        assert await here.book.find_by_number("01632 960001") == ids[::-1]


async def test_a_beginning_known_before_takes_no_past_away(tmp_path: Path) -> None:
    """An old customer who gets another's number has it from today: the other's past stays the other's."""
    async with office(tmp_path) as here:
        await here.book.set("OLD", since="2019-01-01", actor=WHO)
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        call = await here.call(CALLER)
        told = await here.book.set("OLD", since="2019-01-01", numbers=[CALLER], actor=WHO)
        assert told["numbers"] == [{"number": CALLER, "since": "2026-11-25", "until": None}]
        assert (await here.tied(call))[0] == "C-1"


async def test_of_two_parties_on_one_call_the_number_shown_has_the_word(tmp_path: Path) -> None:
    """A presentation number says who calls; the network number of a line that somebody else rents does not."""
    async with office(tmp_path) as here:
        await here.book.set("LINE", numbers=[OTHER], actor=WHO)
        await here.book.set("FIRM", numbers=[CALLER], actor=WHO)
        identity = CallIdentity(network_number=OTHER, presentation_number=CALLER, called_number=OURS)
        call = await here.call(CALLER, identity=identity)
        assert (await here.tied(call))[0] == "FIRM"
        await here.book.set("LINE", name="told again", actor=WHO)
        assert (await here.tied(call))[0] == "FIRM"


async def test_our_own_and_diverting_numbers_tie_nothing(tmp_path: Path) -> None:
    """A call belongs to the outside party: not to our DDI, and not to whoever forwarded it."""
    async with office(tmp_path) as here:
        await here.book.set("OURS", numbers=[OURS], actor=WHO)
        await here.book.set("FORWARDER", numbers=[OTHER], actor=WHO)
        identity = CallIdentity(presentation_number=CALLER, called_number=OURS, diverting_number=OTHER)
        assert (await here.tied(await here.call(CALLER, identity=identity)))[0] is None
        outbound = await here.call(CALLER, direction="outbound", identity=CallIdentity(OURS, OURS, called_number=OTHER))
        assert (await here.tied(outbound))[0] == "FORWARDER"


async def test_law_70_a_withheld_caller_is_tied_to_nobody(tmp_path: Path) -> None:
    """LAW-70: a list that named the customer of a withheld call would tell who called."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        identity = CallIdentity(called_number=OURS, hidden_number=CALLER)
        call = await here.call(CALLER, withheld=True, identity=identity)
        await here.book.set("C-1", kind="enquirer", actor=WHO)
        assert (await here.tied(call))[0] is None


async def test_a_class_somebody_chose_stays(tmp_path: Path) -> None:
    """A capture rule's own class gives way to no customer; one that needs a party waits for it by its name."""
    tables = {
        "capture_rule": [{**RULE, "retention_class": "fortnight"}, {**RULE, "name": "complaints"}],
        "retention_class": [
            {"name": "unmatched", "keep": "2y", "from": "call"},
            {"name": "fortnight", "keep": "14d", "from": "call"},
        ],
    }
    async with office(tmp_path, settings_of(**tables)) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        assert await here.tied(await here.call(CALLER, retention_class="fortnight")) == (
            "C-1",
            "fortnight",
            "2026-12-04",
        )
        complaint = await here.call(OTHER, retention_class="complaint")
        assert await here.tied(complaint) == (None, "complaint", UNMATCHED_END)
        await here.book.set("C-2", numbers=[OTHER], actor=WHO)
        assert await here.tied(complaint) == ("C-2", "complaint", None)


async def test_law_56_the_days_of_rows_follow_the_configured_classes(tmp_path: Path) -> None:
    """LAW-56: other classes date every call anew, once; what a crash cut off is begun anew."""
    shorter = settings_of(retention_class=[{"name": "unmatched", "keep": "1y", "from": "call"}])
    async with office(tmp_path) as here:
        calls = [await here.call(CALLER), await here.call(OTHER)]
        assert await here.book.tying.follow_classes()
        assert not await here.book.tying.follow_classes()
    async with office(tmp_path, shorter) as here:
        assert (await here.tied(calls[0]))[2] == UNMATCHED_END
        assert await here.book.tying.follow_classes()
        assert [(await here.tied(call))[2] for call in calls] == ["2027-11-20"] * 2
        assert not await here.book.tying.follow_classes()


@pytest.mark.parametrize(
    ("kind", "expected"), [("applicant", "hr_applicant"), ("employee", "hr_employee"), ("customer", "customer")]
)
async def test_every_kind_has_its_class_and_a_new_kind_another(tmp_path: Path, kind: str, expected: str) -> None:
    """LAW-56: an applicant who is hired is an employee, and back again."""
    async with office(tmp_path) as here:
        call = await here.call(CALLER)
        await here.book.set("C-1", numbers=[CALLER], kind="applicant", actor=WHO)
        await here.book.set("C-1", kind=kind, actor=WHO)
        assert await here.tied(call) == ("C-1", expected, None)


async def test_an_idempotency_key_has_one_answer(tmp_path: Path) -> None:
    """The same key and content is answered again, and changes nothing; other content is refused."""
    async with office(tmp_path) as here:
        said = {"name": NAME, "numbers": [CALLER], "actor": WHO, "idempotency_key": "one"}
        answer = await here.book.set("C-1", **said)
        await here.book.set("C-2", numbers=[CALLER], actor=WHO)
        assert await here.book.set("C-1", **said) == answer
        assert (await here.book.show("C-1"))["numbers"] != answer["numbers"]
        with pytest.raises(OperatorError, match="another content") as caught:
            await here.book.set("C-1", **{**said, "name": "Else"})
        assert caught.value.exit_code is ExitCode.USAGE
        assert (await here.book.show("C-1"))["name"] == NAME
        assert (await here.book.set("C-1", **{**said, "name": "Else", "actor": "kim"}))["name"] == "Else"


async def test_parties_are_found_by_name(tmp_path: Path) -> None:
    """Every word, whatever its accents and case."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", name=NAME, actor=WHO)
        await here.book.set("C-2", name="Jané Miller", actor=WHO)
        one, two = [await here.book.party_id(ref) for ref in ("C-1", "C-2")]
        assert sorted(await here.book.find_by_name("JANE")) == sorted([one, two])
        assert await here.book.find_by_name("miller, jane") == [two]
        assert await here.book.find_by_name("jane nobody") == []
        await here.book.set("C-2", name="Joan Miller", actor=WHO)
        assert await here.book.find_by_name("jane") == [one]


async def test_nothing_readable_of_a_party_lies_on_the_disk(tmp_path: Path) -> None:
    """Reference, name, numbers and contracts are in no file in clear."""
    async with office(tmp_path) as here:
        contract = {"ref": "KONTRAKT-7", "starts_on": "2024-05-01"}
        said = {"name": NAME, "numbers": [CALLER], "contracts": [contract], "actor": WHO}
        await here.book.set("KUNDE-4711", **said, idempotency_key="once")
        needles = [NAME.encode(), b"Neill", b"KUNDE-4711", b"KONTRAKT-7", *spellings(CALLER)]
        assert files_with(tmp_path, needles) == []


async def test_a_forgotten_party_is_gone(tmp_path: Path) -> None:
    """Its key, rows and indices are gone, its calls are nobody's, and it can be asked for again."""
    async with office(tmp_path) as here:
        told: list[Any] = []
        here.book.watchers.append(told.append)
        await here.book.set("C-1", name=NAME, numbers=[CALLER], actor=WHO, idempotency_key="once")
        call = await here.call(CALLER)
        party_id = await here.book.party_id("C-1")
        assert party_id is not None
        (row,) = await here.book._parties.reader.by_ids((party_id,))
        assert await here.book.calls_of(party_id) == [call]
        assert await here.book.leftovers(party_id) != []
        for _ in range(2):
            assert await here.book.forget(party_id)
        assert told[-1] == (party_id,)
        with pytest.raises(KeyDestroyed):
            await here.stores.keyring.load(row.key_id)
        assert await here.tied(call) == (None, "unmatched", UNMATCHED_END)
        assert await here.book.find_by_name(NAME) == []
        assert await here.book.find_by_number(CALLER) == []
        assert await here.book.refs([party_id]) == {}
        await here.book.set("C-1", numbers=[OTHER], actor=WHO)
        assert await here.book.party_id("C-1") != party_id


async def test_a_half_forgotten_party_is_completed(tmp_path: Path) -> None:
    """The plug is pulled after the key: whoever asks is told to wait, and forgetting it again completes it."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", name=NAME, numbers=[CALLER], actor=WHO)
        party_id = await here.book.party_id("C-1")
        assert party_id is not None
        (row,) = await here.book._parties.reader.by_ids((party_id,))
        await here.stores.keyring.destroy([row.key_id])
    async with office(tmp_path) as here:
        with pytest.raises(OperatorError, match="C-1") as caught:
            await here.book.show("C-1")
        assert caught.value.exit_code is ExitCode.NOT_FOUND
        with pytest.raises(OperatorError, match="try again") as caught:
            await here.book.set("C-1", name="Else", actor=WHO)
        assert caught.value.exit_code is ExitCode.BUSY
        assert await here.book.forget(party_id)
        await here.book.set("C-1", name="Else", actor=WHO)


async def test_law_60_silence_of_the_feed_is_told(tmp_path: Path) -> None:
    """LAW-60: nothing while nobody ever told, then by the days since somebody last did."""
    async with office(tmp_path) as here:
        assert (await here.book.feed())["level"] is None
        await here.book.set("C-1", actor=WHO)
        levels = []
        for days in (2, 1, 4, 7):
            here.stores.clock.advance(timedelta(days=days))
            feed = await here.book.feed()
            levels.append((feed["silent_days"], feed["level"]))
            assert (feed["text"] is None) == (feed["level"] is None)
        assert levels == [(2, None), (3, "amber"), (7, "red"), (14, "critical")]
        await here.book.set("C-1", actor=WHO)
        assert await here.book.feed() == {
            "last_told": "2026-12-09",
            "silent_days": 0,
            "level": None,
            "text": None,
        }


async def test_ties_that_a_crash_cut_off_are_completed(tmp_path: Path) -> None:
    """The change is durable, the plug is pulled before its calls are looked at: the next start does it."""
    async with office(tmp_path) as here:
        call = await here.call(CALLER)

        async def unplugged(_party_ids: object) -> None:
            raise StorageUnavailable("the plug is pulled")

        here.book.tying.tie_parties = unplugged  # type: ignore[method-assign, assignment]
        with pytest.raises(StorageUnavailable):
            await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        assert (await here.tied(call))[0] is None
    async with office(tmp_path) as here:
        await here.book.resume()
        assert await here.tied(call) == ("C-1", "customer", None)


async def test_events_and_lists_show_what_people_call_a_party(tmp_path: Path) -> None:
    """Also of a call in progress, and after a restart; the random id of the row is never shown."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        new = await here.stores.open_call()
        await here.book.tying.tie([new.call_id])
        assert here.stores.catalogue.live_items()[0]["relationship_id"] == "C-1"
        call = await here.call(CALLER)
        await here.book.set("C-1", kind="enquirer", actor=WHO)
        assert here.stores.catalogue.live_items()[0]["retention_class"] == "enquirer"
    async with office(tmp_path) as here:
        assert (await here.item(call))["relationship_id"] == "C-1"
        ended = [event.document["data"] for event in await here.stores.catalogue.events_after(0)]
        assert {data.get("relationship_id") for data in ended} <= {None, "C-1"}


async def test_who_changed_what_is_in_the_audit_chain_without_a_number(tmp_path: Path) -> None:
    """The entry names the party by its random id, the fields, and masked numbers."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", name=NAME, numbers=[CALLER], actor=WHO)
        await here.book.end("C-1", date(2026, 11, 1), WHO)
        entries = await here.stores.catalogue.audit_entries()
        assert [(entry["actor"], entry["action"]) for entry in entries] == [
            (WHO, "relationship set"),
            (WHO, "relationship end"),
        ]
        assert entries[0]["detail"]["fields"] == ["name", "numbers"]
        assert entries[0]["detail"]["numbers"] == ["+44******0001"]


async def test_law_59_a_later_call_moves_no_older_one(tmp_path: Path) -> None:
    """LAW-59: an enquirer who calls again keeps the older call no longer."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], kind="enquirer", actor=WHO)
        older = await here.call(CALLER, "2025-03-01")
        before = await here.tied(older)
        await _call_every_month(here)
        assert await here.tied(older) == before == ("C-1", "enquirer", "2027-03-01")


async def _call_every_month(here: Office) -> None:
    for month in range(4, 12):
        await here.call(CALLER, f"2025-{month:02}-01")
