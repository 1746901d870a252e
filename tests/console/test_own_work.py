"""Commands that need no recorder: keys, notices, configuration, doctor, verifying."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from callrec.catalogue.catalogue import Catalogue
from callrec.catalogue.values import CallChange, CallEnd, CallIdentity, NewCall, Part
from callrec.vault.keyring import Keyring
from callrec.vault.master_key import MasterKey
from tests.api.fake_recorder import STARTED, event_of, item_of, write_part
from tests.catalogue.house import PATIENT
from tests.console.conftest import Desk


def key(desk: Desk) -> Path:
    return desk.folder / "secrets" / "master-key"


def keyring(desk: Desk) -> Path:
    return desk.folder / "state" / "keyring.db"


def tone(path: Path) -> Path:
    soundfile.write(str(path), 0.3 * np.sin(np.arange(32_000) / 5), 16_000)
    return path


# keys


def test_keys_are_made_once_and_only_for_their_owner(desk: Desk) -> None:
    """`keys init` makes a master key of mode 0400 and a keyring that it opens."""
    assert desk.run("keys", "init").code == 0
    assert key(desk).stat().st_mode & 0o777 == 0o400
    assert desk.run("keys", "check", "--json").document["opens"] is True


def test_a_new_key_is_never_made_over_an_old_store(desk: Desk) -> None:
    """A second init, with or without the old key in place, changes nothing and is exit code 7."""
    desk.run("keys", "init")
    before = (key(desk).read_bytes(), keyring(desk).read_bytes())
    assert desk.run("keys", "init").code == 7
    assert (key(desk).read_bytes(), keyring(desk).read_bytes()) == before
    key(desk).rename(desk.folder / "kept")
    ran = desk.run("keys", "init")
    assert (ran.code, key(desk).exists()) == (7, False)
    assert "older master key" in ran.err


def test_recordings_alone_are_an_old_store(desk: Desk) -> None:
    """Where only ciphertext was left, a new key is not made either."""
    recording = desk.folder / "recordings" / "2026" / "11" / "22" / "x.1.crec"
    recording.parent.mkdir(parents=True)
    recording.touch()
    ran = desk.run("keys", "init")
    assert (ran.code, key(desk).exists()) == (7, False)
    assert str(recording) in ran.err


def test_a_key_that_came_from_elsewhere_is_used(desk: Desk) -> None:
    """A key put in place beforehand (a credential of systemd) gets its keyring."""
    key(desk).parent.mkdir()
    key(desk).write_bytes(os.urandom(32))
    key(desk).chmod(0o400)
    assert desk.run("keys", "init", "--json").document["master_key_made"] is False
    assert desk.run("keys", "check").code == 0


@pytest.mark.parametrize("fault", ["other", "missing", "broken", "open"])
def test_a_key_that_does_not_fit_is_exit_code_7(desk: Desk, fault: str) -> None:
    """Wrong, missing, broken or readable by all: one sentence, nothing changed."""
    desk.run("keys", "init")
    before = keyring(desk).read_bytes()
    key(desk).chmod(0o600)
    if fault == "missing":
        key(desk).unlink()
    else:
        content = {"other": os.urandom(32), "broken": b"x", "open": key(desk).read_bytes()}[fault]
        key(desk).write_bytes(content)
        key(desk).chmod(0o644 if fault == "open" else 0o400)
    ran = desk.run("keys", "check")
    assert (ran.code, ran.out, ran.err.count("\n")) == (7, "", 1)
    assert keyring(desk).read_bytes() == before


def test_the_public_key_is_pem_and_always_the_same(desk: Desk) -> None:
    """`keys public --to FILE` writes what certificates are checked with."""
    desk.run("keys", "init")
    target = desk.folder / "public.pem"
    assert desk.run("keys", "public", "--to", target).code == 0
    assert isinstance(load_pem_public_key(target.read_bytes()), Ed25519PublicKey)
    assert desk.run("keys", "public").out == target.read_text()


# notice


def test_a_notice_is_taken_in_without_a_recorder(desk: Desk) -> None:
    """It lies under `<state>/notices` and is listed with its version."""
    ran = desk.run("notice", "import", tone(desk.folder / "n.wav"), "--id", "sales", "--text", "We record.", "--json")
    assert (ran.code, ran.document["version"], ran.document["language"]) == (0, 1, "en-GB")
    assert "not running" in ran.err
    assert (desk.folder / "state" / "notices" / "sales" / "1" / "notice.alaw").stat().st_mode & 0o777 == 0o644
    listed = {item["id"]: item["version"] for item in desk.run("notice", "list", "--json").document["items"]}
    assert listed["sales"] == 1
    assert listed["training-and-monitoring"] >= 1


def test_a_running_recorder_takes_it_into_use(served: Desk) -> None:
    """The next call hears it, without a restart."""
    ran = served.run("notice", "import", tone(served.folder / "n.wav"), "--id", "sales", "--text", "We record.")
    assert (ran.code, served.recorder.notices_reloaded) == (0, 1)
    assert "next call" in ran.err


def test_a_file_without_audio_is_one_sentence(desk: Desk) -> None:
    """It says what was found and what to do; nothing is stored."""
    (desk.folder / "n.wav").write_text("no audio at all")
    ran = desk.run("notice", "import", desk.folder / "n.wav", "--id", "sales", "--text", "We record.")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "record the notice as WAV" in ran.err
    assert not (desk.folder / "state" / "notices").exists()


# config


def test_config_check_names_file_and_line_of_a_fault(desk: Desk) -> None:
    """contract.md: exit 78, one line with file, line, key, what was expected."""
    assert desk.run("config", "check").code == 0
    with desk.config.open("a") as file:
        file.write("[rtp]\nprots = 1\n")
    line = len(desk.config.read_text().splitlines())
    ran = desk.run("config", "check")
    assert (ran.code, ran.err.count("\n")) == (78, 1)
    assert f"callrec.toml:{line}" in ran.err
    assert "prots" in ran.err


def test_config_show_says_where_each_value_came_from(desk: Desk) -> None:
    """Files by line, the environment by variable, and defaults as such."""
    items = {item["key"]: item for item in desk.run("config", "show", "--json").document["items"]}
    assert items["api.socket"]["value"] == f'"{desk.folder / "api.sock"}"'
    assert "callrec.toml:" in items["api.socket"]["origin"]
    assert items["sip.max_calls"] == {"key": "sip.max_calls", "value": "500", "origin": "default"}


# doctor


def test_every_red_line_of_the_doctor_ends_in_a_command(desk: Desk) -> None:
    """Without keys and folders there is much to mend, and each line says with what."""
    ran = desk.run("doctor", "--json")
    items = ran.document["items"]
    assert ran.code == 1
    failed = {item["check"] for item in items if item["state"] == "failed"}
    assert {"keys", "state", "recordings", "ledger copy"} <= failed
    assert all(item["mend"] for item in items if item["state"] != "ok")
    keys = next(item for item in items if item["check"] == "keys")
    assert keys["mend"] == f"callrec --config {desk.config} keys init"


def test_a_machine_that_is_set_up_has_no_red_line(served: Desk) -> None:
    """After the mending, the doctor finds nothing that failed."""
    served.run("keys", "init")
    for name in ("recordings", "ledger-copy"):
        (served.folder / name).mkdir(exist_ok=True)
    with served.config.open("a") as file:
        file.write('[limits]\nmin_free = "1MiB"\n')
    ran = served.run("doctor")
    assert ran.code == 0, ran.out
    assert "failed" not in ran.out
    assert "recorder: runs as process" in ran.out


def test_a_master_key_that_only_the_service_sees_is_no_failure(served: Desk) -> None:
    """As installed, the key is a credential of the service: the doctor believes the recorder that has it open."""
    served.run("keys", "init")
    (served.folder / "secrets" / "master-key").unlink()
    keys = {item["check"]: item for item in served.run("doctor", "--json").document["items"]}["keys"]
    assert keys["state"] == "ok"
    served.recorder.problems = [{"code": "keys_unavailable", "since": "2026-11-22T10:00:00Z", "text": "no key"}]
    keys = {item["check"]: item for item in served.run("doctor", "--json").document["items"]}["keys"]
    assert keys["state"] == "failed"


def test_law_52_status_and_doctor_remind_of_reviews(served: Desk) -> None:
    """LAW-52: a hold whose review is due is named, and how urgent it is, with the command that ends it."""
    hold = {"id": "0f3a9c1e-0000-4000-8000-000000000001", "kind": "legal_hold", "review_on": "2026-12-01"}
    restriction = {"id": "1f3a9c1e-0000-4000-8000-000000000002", "kind": "restricted", "review_on": "2026-12-20"}
    served.recorder.reviews = [{**hold, "level": "critical"}, {**restriction, "level": "amber"}]
    told = served.run("status")
    assert (told.code, "2 holds or restrictions, the first by 2026-12-01 (critical)" in told.out) == (0, True), told.out
    found = [item for item in served.run("doctor", "--json").document["items"] if item["check"] == "reviews"]
    assert [item["state"] for item in found] == ["failed", "warning"]
    assert found[0]["mend"].startswith("callrec hold release 0f3a9c1e")
    assert found[1]["mend"].startswith("callrec restriction release 1f3a9c1e")


def test_the_doctor_finds_a_port_that_is_held_and_a_broker_that_is_away(desk: Desk) -> None:
    """What cannot be bound or reached is named, with the command that shows why."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        text = desk.config.read_text().replace("127.0.0.1:5079", f"127.0.0.1:{port}")
        desk.config.write_text(text + '[mqtt]\nurl = "mqtt://127.0.0.1:1"\n')
        items = {item["check"]: item for item in desk.run("doctor", "--json").document["items"]}
    assert items["sip ports"]["state"] == "failed"
    assert str(port) in items["sip ports"]["mend"]
    assert items["broker"]["state"] == "failed"


def test_the_doctor_tells_of_a_broken_configuration(desk: Desk) -> None:
    """Nothing else can be looked at then: exit code 78."""
    desk.config.write_text("[sip]\nlisten = 7\n")
    ran = desk.run("doctor")
    assert ran.code == 78
    assert "config check" in ran.out


# store, events


def test_verifying_through_the_recorder_finds_what_is_damaged(served: Desk) -> None:
    """Exit code 7 if a recording is missing or damaged, 0 if all are whole."""
    stored = [served.recorder.add_recording(item_of(number), seconds=1) for number in (1, 2)]
    ran = served.run("store", "verify", "--json")
    assert (ran.code, ran.document["verified"], ran.document["counts"]) == (0, True, {"whole": 2})
    stored[1].parts[0].path.unlink()
    served.recorder.strays = [served.folder / "recordings" / "holiday.jpg"]
    ran = served.run("store", "verify")
    assert ran.code == 7
    for text in ("missing", "foreign", "holiday.jpg", "NOT VERIFIED: 1 foreign, 1 missing, 1 whole."):
        assert text in ran.out


async def store_calls(desk: Desk, numbers: range) -> list[Path]:
    """Store calls with recordings as a recorder does, and return their files."""
    ring = Keyring.open(keyring(desk), MasterKey.load(key(desk)), create=False, pool_calls=len(numbers))
    catalogue = await Catalogue.open(desk.folder / "state" / "catalogue.db", ring, PATIENT, strict=True)
    paths = []
    for number in numbers:
        item, keys = item_of(number), ring.take_call_keys()
        call_id, recording_id = item["call_id"], item["recording_id"]
        identity = CallIdentity(network_number="+442079460123")
        await catalogue.open_call(
            NewCall(
                call_id,
                f"CALL{number:03}",
                "inbound",
                STARTED,
                identity,
                keys.identity_key_id,
                keys.audio_key_id,
                recording_id,
            )
        )
        part = write_part(desk.folder / "recordings", recording_id, keys.audio_key, seconds=1)
        relative = str(part.path.relative_to(desk.folder / "recordings"))
        final = CallChange(recording_started_at=STARTED, parts=(Part(recording_id, 1, relative, part.segments),))
        end = CallEnd(STARTED + timedelta(seconds=1), "recorded", "complete", final=final)
        await catalogue.end_call(call_id, end)
        paths.append(part.path)
    await catalogue.close()
    ring.close()
    return paths


def test_verifying_without_a_recorder_reads_the_store_itself(desk: Desk) -> None:
    """With the keys at hand every segment is decrypted; damage, loss and foreign files are told apart."""
    desk.run("keys", "init")
    paths = asyncio.run(store_calls(desk, range(1, 4)))
    ran = desk.run("store", "verify", "--json")
    assert (ran.code, ran.document["counts"]) == (0, {"whole": 3})
    content = bytearray(paths[0].read_bytes())
    content[-30] ^= 1
    paths[0].write_bytes(content)
    paths[1].unlink()
    (desk.folder / "recordings" / "holiday.jpg").write_bytes(b"x")
    ran = desk.run("store", "verify", "--json")
    assert (ran.code, ran.document["counts"]) == (7, {"damaged": 1, "missing": 1, "whole": 1, "foreign": 1})


def test_verifying_with_another_key_is_exit_code_7(desk: Desk) -> None:
    """Without the right master key nothing is verified and nothing changed."""
    desk.run("keys", "init")
    asyncio.run(store_calls(desk, range(1, 2)))
    key(desk).chmod(0o600)
    key(desk).write_bytes(os.urandom(32))
    key(desk).chmod(0o400)
    ran = desk.run("store", "verify")
    assert (ran.code, ran.out, ran.err.count("\n")) == (7, "", 1)


def test_verifying_nothing_says_so(desk: Desk) -> None:
    """Without recorder and catalogue there is nothing to verify, and that is no success."""
    ran = desk.run("store", "verify")
    assert (ran.code, ran.out) == (1, "")
    assert "no catalogue" in ran.err


def test_events_come_as_published_one_a_line(served: Desk) -> None:
    """contract.md: stored events and end, the same documents, one a line."""
    served.recorder.events = [event_of(sequence) for sequence in range(1, 4)]
    ran = served.run("events", "tail", "--after", "1", "--json")
    assert [json.loads(line) for line in ran.out.splitlines()] == [event_of(2), event_of(3)]
    assert "call/ended" in served.run("events", "tail").out
