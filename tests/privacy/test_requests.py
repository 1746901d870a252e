"""A deletion request from its receipt to its certificate, over real stores."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue import AuditEntry, CallEnd, CallIdentity, CallNotFound, FindQuery
from callrec.errors import ExitCode, OperatorError
from callrec.events import load_schema
from callrec.privacy.certificates import verify_certificate
from callrec.vault.keyring_errors import KeyDestroyed
from tests.catalogue.house import CALLER, NAME, OTHER, OURS, files_with, spellings
from tests.privacy.request_house import NOW, RECEIVED, Office, office

REVIEW = date(2027, 1, 15)


async def refused(work: Any, code: ExitCode, words: str) -> None:
    """Assert that something is refused with an exit code and one clear sentence."""
    with pytest.raises(OperatorError, match=words) as caught:
        await work
    assert caught.value.exit_code is code
    assert "\n" not in str(caught.value)


async def unchanged(here: Office) -> tuple[Any, ...]:
    """Return what must stay as it is when something is refused."""
    return (await here.requests.list(open_only=False), await here.events(), here.stores.ledger.head.n)


# The whole way


async def test_a_request_is_carried_out_and_certified(tmp_path: Path) -> None:
    """Received, verified, approved by somebody else, executed, read back, certified; nothing of the person is left."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        kept = await here.stores.recorded_call(identity=CallIdentity(network_number=OTHER))
        new = await here.requests.new(number="01632 960001", name=NAME, channel="post", received_at=RECEIVED, actor="a")
        assert (new["state"], new["calls"], new["received_at"]) == ("received", 1, "2026-11-25T09:00:00.000Z")
        assert (new["promise_due_local_date"], new["statutory_due_local_date"]) == ("2026-12-23", "2026-12-29")
        await here.requests.verify(new["id"], "call_back", actor="a")
        await here.requests.approve(new["id"][:8], "b")
        done = await here.requests.execute(new["id"], "b")
        assert (done["state"], done["result"], done["erased"], done["kept"]) == (
            "completed",
            "whole",
            [mine.call_id],
            [],
        )
        assert {one["store"]: one["state"] for one in done["stores"]} == {
            "keyring": "erased",
            "recordings": "erased",
            "traces": "not_present",
            "catalogue": "erased",
            "events": "erased",
            "relationships": "not_present",
            "exports": "not_present",
            "broker": "not_present",
            "backups": "not_present",
        }
        assert [step["state"] for step in done["history"]] == [
            "received",
            "authorisation_pending",
            "authorised",
            "executing",
            "verifying",
            "completed",
        ]
        for key_id in (mine.identity_key_id, mine.audio_key_id):
            with pytest.raises(KeyDestroyed):
                await here.stores.keyring.load(key_id or "")
        with pytest.raises(CallNotFound):
            await here.stores.catalogue.get(mine.call_id)
        assert (await here.stores.catalogue.get(kept.call_id))["network_number"] == OTHER
        certificate = await here.requests.certificate(new["id"])
        verify_certificate(certificate, here.stores.ledger.public_key())
        text = json.dumps(certificate)
        for word in (*spellings(CALLER), NAME.encode(), OURS.encode()):
            assert word.decode() not in text
    assert files_with(tmp_path, [*spellings(CALLER), NAME.encode(), b"Neill"]) == []


async def test_every_step_is_told(tmp_path: Path) -> None:
    """Opened, approved, executed, completed: each once, as its schema says, and no number in it."""
    jsonschema = pytest.importorskip("jsonschema")
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        await here.executed(name=NAME)
        assert await here.events() == [("request", verb) for verb in ("opened", "approved", "executed", "completed")]
        for event in await here.stores.catalogue.events_after(0, 1000):
            if event.noun == "request":
                jsonschema.validate(event.document, load_schema(event.noun, event.verb))
                assert "960001" not in json.dumps(event.document)


async def test_the_ledger_knows_an_open_request_by_its_id(tmp_path: Path) -> None:
    """Made when it is taken in, lifted when nothing can happen to it any more; random ids only."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = await here.opened()
        entries = await here.stores.ledger.entries(frozenset({"request"}))
        assert [entry.body for entry in entries] == [{"id": request_id, "what": "made"}]
        await here.requests.withdraw(request_id, "asked again", "alice")
        entries = await here.stores.ledger.entries(frozenset({"request"}))
        assert entries[-1].body == {"id": request_id, "what": "lifted"}


async def test_the_ledger_knows_a_completed_request_until_its_last_store_is_ticked(tmp_path: Path) -> None:
    """A restore that loses it would else lose, untold, that somebody has to look into the voicemail yet."""
    async with office(tmp_path, privacy={"outside_stores": ["voicemail", "mail"]}) as here:
        await here.stores.recorded_call()
        done = await here.executed()
        assert done["state"] == "completed"
        assert list(here.stores.ledger.live["request"]) == [done["id"]]
        await here.requests.tick(done["id"], "voicemail", "bob")
        assert list(here.stores.ledger.live["request"]) == [done["id"]]
        await here.requests.tick(done["id"], "mail", "bob")
        assert "request" not in here.stores.ledger.live


async def test_the_audit_chain_holds_masked_numbers(tmp_path: Path) -> None:
    """Who did what is written down for each command."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        done = await here.executed()
        entries = [one for one in await here.stores.catalogue.audit_entries() if one["subject"] == done["id"]]
        assert [(one["actor"], one["action"]) for one in entries] == [
            ("alice", "request.new"),
            ("alice", "request.verify"),
            ("bob", "request.approve"),
            ("bob", "request.execute"),
        ]
        assert CALLER[3:] not in json.dumps(entries)


# Taking in


@pytest.mark.parametrize("spelling", ["+441632960001", "01632 960001", "0044 1632 960 001", "(01632) 960001"])
async def test_any_spelling_finds_the_person(tmp_path: Path, spelling: str) -> None:
    """LAW-26: however a person writes the number."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        new = await here.requests.new(number=spelling, channel="web", actor="alice")
        assert new["call_ids"] == [mine.call_id]


async def test_all_numbers_of_a_party_are_found(tmp_path: Path) -> None:
    """A person is found under every number that was theirs, and not under one that is somebody else's by now."""
    async with office(tmp_path) as here:
        await here.relationships.set("CUST-1", name=NAME, numbers=[CALLER, OTHER], kind="customer", actor="alice")
        mine = await here.stores.recorded_call()
        other = await here.stores.recorded_call(identity=CallIdentity(network_number=OTHER, called_number=OURS))
        await here.relationships.tie([mine.call_id, other.call_id])
        new = await here.requests.new(number=OTHER, channel="email", actor="alice")
        assert set(new["call_ids"]) == {mine.call_id, other.call_id}


async def test_a_former_holder_of_a_number_is_left_alone(tmp_path: Path) -> None:
    """Two held a number one after the other: a request erases the latest one's calls only."""
    async with office(tmp_path) as here:
        old = await here.stores.recorded_call()
        await here.relationships.set("OLD", numbers=[CALLER], kind="customer", actor="alice")
        await here.relationships.tie([old.call_id])
        here.clock.advance(timedelta(days=40))
        await here.relationships.set("NEW", numbers=[CALLER], since=date(2026, 12, 20), kind="customer", actor="alice")
        late = NOW + timedelta(days=35)
        mine = await here.stores.recorded_call(started_at=late)
        await here.relationships.tie([old.call_id, mine.call_id])
        new = await here.requests.new(number=CALLER, channel="email", actor="alice")
        assert new["call_ids"] == [mine.call_id]


async def test_a_name_a_reference_and_a_window_find_calls(tmp_path: Path) -> None:
    """By name alone, by call reference, and a withheld caller by time and our number."""
    async with office(tmp_path) as here:
        named = await here.stores.recorded_call()
        hidden = await here.stores.recorded_call(identity=CallIdentity(called_number=OURS), withheld=True)
        found = await here.requests.new(name="o'neill-smith JANE", channel="email", actor="alice")
        assert found["call_ids"] == [named.call_id]
        found = await here.requests.new(calls=[named.call_reference], channel="email", actor="alice")
        assert found["call_ids"] == [named.call_id]
        window = {"since": "2026-11-25T09:00:00Z", "until": "2026-11-25T12:00:00Z", "called": "020 7946 0123"}
        found = await here.requests.new(window=window, channel="telephone", actor="alice")
        assert found["call_ids"] == [hidden.call_id]


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"received_at": NOW + timedelta(seconds=1)}, ExitCode.USAGE, "future"),
        ({"number": None}, ExitCode.USAGE, "found nobody"),
        ({"number": "12"}, ExitCode.USAGE, "expected a telephone number"),
        ({"number": OTHER}, ExitCode.NOT_FOUND, "nothing is held"),
        ({"number": None, "name": "Nobody Known"}, ExitCode.NOT_FOUND, "not_found"),
        ({"number": OURS}, ExitCode.NOT_FOUND, "nothing is held"),
        ({"channel": "fax"}, ExitCode.USAGE, "email, post"),
        ({"number": None, "calls": ["ffffffff"]}, ExitCode.NOT_FOUND, "ffffffff"),
        ({"number": None, "window": {"since": "x"}}, ExitCode.USAGE, "window"),
    ],
)
async def test_a_wrong_request_changes_nothing(
    tmp_path: Path, given: dict[str, Any], code: ExitCode, words: str
) -> None:
    """One sentence and the contract's exit code; our own numbers never are a person's."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        before = await unchanged(here)
        await refused(here.requests.new(**{"number": CALLER, "channel": "email", "actor": "a", **given}), code, words)
        assert await unchanged(here) == before


# Deciding


async def test_two_people_decide(tmp_path: Path) -> None:
    """LAW-34: whoever verified who asks does not approve; one person may where the configuration says so."""
    async with office(tmp_path / "two") as here:
        await here.stores.recorded_call()
        request_id = await here.opened()
        await here.requests.verify(request_id, "account", actor="alice")
        await refused(here.requests.approve(request_id, "alice"), ExitCode.REFUSED, "somebody else")
        assert (await here.requests.approve(request_id, "bob"))["state"] == "authorised"
    async with office(tmp_path / "one", privacy={"four_eyes": False}) as here:
        await here.stores.recorded_call()
        request_id = await here.opened()
        await here.requests.verify(request_id, "account", actor="alice")
        assert (await here.requests.approve(request_id, "alice"))["approved"]["by"] == "alice"


async def test_evidence_of_identity_restarts_the_month_and_never_the_promise(tmp_path: Path) -> None:
    """The identity vector of LAW-19 and LAW-18: received 3 September, evidence on the 10th."""
    received = datetime.fromisoformat("2026-09-03T08:00:00+00:00")
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = await here.opened(received_at=received)
        await here.requests.verify(request_id, "account", failed=True, actor="alice")
        assert (await here.requests.show(request_id))["state"] == "identity_pending"
        shown = await here.requests.verify(
            request_id, "knowledge", evidence_at=received + timedelta(days=7), actor="alice"
        )
        assert (shown["promise_due_local_date"], shown["statutory_due_local_date"]) == ("2026-10-01", "2026-10-12")
        assert shown["overdue"] == ["promise", "statutory"]


async def test_a_refusal_needs_a_ground_of_the_law(tmp_path: Path) -> None:
    """LAW-33: an unknown ground is one sentence; a known one ends it, and the letter names it."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = await here.opened()
        before = await unchanged(here)
        await refused(here.requests.refuse(request_id, "no_mood", "", "bob"), ExitCode.USAGE, "legal_obligation")
        assert await unchanged(here) == before
        shown = await here.requests.refuse(request_id, "identity_failed", "no answer came", "bob")
        assert (shown["state"], shown["ground"]) == ("refused", "identity_failed")
        letter = await here.requests.letter(request_id, "refusal")
        assert "no answer came" in letter["text"]
        assert ("request", "refused") in await here.events()
        await refused(here.requests.withdraw(request_id, "", "bob"), ExitCode.REFUSED, "refused")


async def test_an_extension_moves_only_the_statutory_date(tmp_path: Path) -> None:
    """LAW-22: with reasons and a notice inside the first month."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = await here.opened()
        notice = date(2026, 11, 26)
        await refused(here.requests.extend(request_id, notice, " ", "bob"), ExitCode.USAGE, "reasons")
        await refused(here.requests.extend(request_id, date(2026, 11, 27), "x", "bob"), ExitCode.USAGE, "to today")
        shown = await here.requests.extend(request_id, notice, "very many calls", "bob")
        assert (shown["promise_due_local_date"], shown["statutory_due_local_date"]) == ("2026-12-23", "2027-02-25")
        assert "very many calls" in (await here.requests.letter(request_id, "extension"))["text"]


@pytest.mark.parametrize("command", ["approve", "execute"])
async def test_nothing_is_erased_that_was_not_decided(tmp_path: Path, command: str) -> None:
    """A step that the table has not is refused, and says what comes next."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        request_id = await here.opened()
        await refused(getattr(here.requests, command)(request_id, "bob"), ExitCode.REFUSED, "request verify")
        assert (await here.stores.catalogue.get(mine.call_id))["network_number"] == CALLER


# Executing


async def test_a_plan_with_a_changed_item_is_approved_again(tmp_path: Path) -> None:
    """A hold since approval makes it stale: exit code 5, nothing erased; approved again, the held call is kept."""
    async with office(tmp_path) as here:
        mine, held = await here.stores.recorded_call(), await here.stores.recorded_call()
        request_id = await here.approved()
        hold = await here.protections.protect(
            "legal_hold", ids=[held.call_id], reason="x", review=REVIEW, actor="carol"
        )
        await refused(here.requests.execute(request_id, "bob"), ExitCode.REFUSED, "request approve")
        assert await here.stores.keyring.load(mine.audio_key_id or "")
        shown = await here.requests.approve(request_id, "bob")
        assert shown["state"] == "partly_refused"
        done = await here.requests.execute(request_id, "bob")
        assert (done["state"], done["result"]) == ("legal_hold", "partly")
        assert done["kept"] == [{"call_id": held.call_id, "reason": "legal_hold"}]
        assert await here.stores.keyring.load(held.audio_key_id or "")
        assert "legal claims" in (await here.requests.letter(request_id, "completion"))["text"]
        await here.protections.release(hold["id"], "dave", "over")
        assert (await here.requests.show(request_id))["state"] == "authorised"
        done = await here.requests.execute(request_id, "bob")
        assert (done["state"], done["result"]) == ("completed", "whole")
        assert set(done["erased"]) == {mine.call_id, held.call_id}


async def test_an_access_request_goes_first(tmp_path: Path) -> None:
    """LAW-30: what waits for a copy is kept, its clocks run on, and it is queued again when that is answered."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        hold = await here.protections.protect("sar_hold", number=CALLER, reason="copy", review=REVIEW, actor="carol")
        done = await here.executed()
        assert (done["state"], done["waits_for"]) == ("sar_hold", "access_request_first")
        assert done["erased"] == []
        await here.protections.release(hold["id"], "dave", "sent")
        done = await here.requests.execute(done["id"], "bob")
        assert (done["state"], done["erased"]) == ("completed", [mine.call_id])


async def test_a_law_that_demands_a_call_keeps_it(tmp_path: Path) -> None:
    """LAW-71: a class that is an obligation is refused in part, with its ground."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call(retention_class="fca_regulated")
        done = await here.executed()
        assert (done["state"], done["kept"]) == (
            "legal_hold",
            [{"call_id": mine.call_id, "reason": "legal_obligation"}],
        )


async def test_calls_since_approval_are_named_and_left_alone(tmp_path: Path) -> None:
    """They never make a plan stale."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        request_id = await here.approved()
        later = await here.stores.recorded_call()
        done = await here.requests.execute(request_id, "bob")
        assert (done["state"], done["erased"]) == ("completed", [mine.call_id])
        assert done["others_since_approval"] == [later.call_id]
        assert (await here.stores.catalogue.get(later.call_id))["network_number"] == CALLER


async def test_a_live_call_is_stopped_and_goes_with_the_rest(tmp_path: Path) -> None:
    """It stops being recorded at once; it is erased as soon as it has ended."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        request_id = await here.approved()
        live = await here.stores.open_call()
        shown = await here.requests.execute(request_id, "bob")
        assert shown["state"] == "executing"
        assert here.live.stopped == [live.call_id]
        assert "still going on" in shown["problem"]
        with pytest.raises(CallNotFound):
            await here.stores.catalogue.get(mine.call_id)
        await here.stores.catalogue.end_call(live.call_id, CallEnd(NOW, "not_recorded", "stop_list"))
        await here.requests.carry_on_unfinished()
        done = await here.requests.show(request_id)
        assert (done["state"], set(done["erased"])) == ("completed", {mine.call_id, live.call_id})
        assert done["problem"] is None


async def test_the_party_goes_with_its_calls(tmp_path: Path) -> None:
    """Its key, its row and its numbers; the file of the request alone still knows whom it was about."""
    async with office(tmp_path) as here:
        await here.relationships.set("CUST-1", name=NAME, numbers=[CALLER], kind="customer", actor="alice")
        mine = await here.stores.recorded_call()
        await here.relationships.tie([mine.call_id])
        done = await here.executed()
        assert {one["store"]: one["state"] for one in done["stores"]}["relationships"] == "erased"
        await refused(here.relationships.show("CUST-1"), ExitCode.NOT_FOUND, "unknown or erased")
        assert done["number"] == CALLER


async def test_outside_stores_and_backups_make_it_partly(tmp_path: Path) -> None:
    """`partly` until the last store is ticked and the last backup is gone; unknown stores are refused."""
    gone_on = date(2026, 12, 9)
    privacy = {"outside_stores": ["voicemail"]}
    async with office(tmp_path, privacy=privacy, beyond_use_until=lambda at, zone: gone_on) as here:
        await here.stores.recorded_call()
        request_id = await here.approved()
        await refused(here.requests.tick(request_id, "voicemail", "bob"), ExitCode.REFUSED, "executed")
        done = await here.requests.execute(request_id, "bob")
        states = {one["store"]: (one["state"], one["until"]) for one in done["stores"]}
        assert (done["state"], done["result"]) == ("completed", "partly")
        assert states["voicemail"] == ("outstanding", None)
        assert states["backups"] == ("beyond_use", "2026-12-09")
        assert (await here.requests.certificate(request_id))["beyond_use_until"] == "2026-12-09"
        await refused(here.requests.tick(request_id, "fax", "bob"), ExitCode.USAGE, "voicemail")
        assert (await here.requests.tick(request_id, "voicemail", "bob"))["result"] == "partly"
        here.clock.advance(timedelta(days=14))
        assert (await here.requests.show(request_id))["result"] == "whole"


async def test_whoever_was_given_a_recording_is_to_be_told(tmp_path: Path) -> None:
    """LAW-38: each export of a call that is erased is a task to notify its recipient."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        entry = AuditEntry("erin", "recording.export", mine.call_id, {"format": "wav"})
        await here.stores.catalogue.record_audit(entry)
        done = await here.executed()
        assert [(one["recipient"], one["call_ids"]) for one in done["notify"]] == [("erin", [mine.call_id])]
        assert "erin" in (await here.requests.letter(done["id"], "completion"))["text"]


async def test_a_file_that_cannot_be_removed_is_told_and_done_later(tmp_path: Path) -> None:
    """The store says `failed`, the request is not completed, and it completes once the disk lets it."""
    async with office(tmp_path) as here:
        mine = await here.stores.recorded_call()
        request_id = await here.approved()
        stubborn = here.stores.files_of(mine)[0]
        stubborn.unlink()
        stubborn.mkdir()
        shown = await here.requests.execute(request_id, "bob")
        assert shown["state"] == "executing"
        assert shown["problem"]
        assert {one["store"]: one["state"] for one in shown["stores"]}["recordings"] == "failed"
        with pytest.raises(KeyDestroyed):
            await here.stores.keyring.load(mine.audio_key_id or "")
        stubborn.rmdir()
        await here.stores.eraser().resume()
        await here.requests.carry_on_unfinished()
        assert (await here.requests.show(request_id))["state"] == "completed"


async def test_letters_and_certificates_tell_nothing_that_has_not_happened(tmp_path: Path) -> None:
    """Each is refused with exit code 5 until it is true."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        request_id = await here.opened(name=NAME)
        for kind in ("completion", "refusal", "extension"):
            await refused(here.requests.letter(request_id, kind), ExitCode.REFUSED, "needs")
        await refused(here.requests.letter(request_id, "love"), ExitCode.USAGE, "acknowledgement")
        await refused(here.requests.certificate(request_id), ExitCode.REFUSED, "executed and verified")
        assert "Jane O'Neill-Smith" in (await here.requests.letter(request_id, "acknowledgement"))["text"]


async def test_an_executed_request_shows_nobody_in_a_search(tmp_path: Path) -> None:
    """Neither by number nor by name."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        await here.executed()
        assert (await here.stores.catalogue.find(FindQuery(number=CALLER))).items == []
        assert (await here.stores.catalogue.find(FindQuery(text="jane"))).items == []
