"""What is due can be asked of a store that no recorder serves, and without any key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from callrec.clock import ManualClock
from callrec.errors import ExitCode, OperatorError
from callrec.privacy.request_check import check_stored
from callrec.settings import Settings
from tests.privacy.request_house import NOW, RECEIVED, office


def configuration(folder: Path) -> Settings:
    """Return a configuration over a folder."""
    return Settings.model_validate({"paths": {"state": str(folder), "recordings": str(folder / "recordings")}})


async def test_it_says_what_the_recorder_says(tmp_path: Path) -> None:
    """The same document, down to the levels; beside a running recorder and without one, and without the keyring."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        await here.opened()
        await here.opened(received_at=RECEIVED - timedelta(days=40))
        said = await here.requests.check()
        assert check_stored(configuration(tmp_path), here.clock) == said
        assert (said["open"], said["overdue"], said["level"]) == (2, 1, "breach")
        assert said["items"][0]["overdue"] == ["promise", "statutory"]
    (tmp_path / "keyring.db").unlink()
    assert check_stored(configuration(tmp_path), ManualClock(NOW)) == said


async def test_what_is_done_is_no_longer_due(tmp_path: Path) -> None:
    """A completed request of which a store is unticked still is."""
    async with office(tmp_path, privacy={"outside_stores": ["voicemail"]}) as here:
        await here.stores.recorded_call()
        done = await here.executed()
        here.clock.advance(timedelta(days=40))
        settings = configuration(tmp_path)
        found = check_stored(settings, here.clock)
        assert (found["open"], found["overdue"]) == (0, 1)
        assert found["items"][0]["waits_for"] == "outside_store_unticked"
        await here.requests.tick(done["id"], "voicemail", "bob")
        assert check_stored(settings, here.clock)["items"] == []


def test_a_store_without_a_catalogue_has_no_request(tmp_path: Path) -> None:
    """Nothing was ever asked there."""
    assert check_stored(configuration(tmp_path), ManualClock(NOW))["items"] == []


def test_what_is_no_catalogue_is_told(tmp_path: Path) -> None:
    """One sentence with exit code 1."""
    (tmp_path / "catalogue.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(OperatorError, match="cannot be read") as caught:
        check_stored(configuration(tmp_path), ManualClock(NOW))
    assert caught.value.exit_code is ExitCode.FAILED


async def test_it_changes_nothing(tmp_path: Path) -> None:
    """Not a byte, not even where the folder cannot be written."""
    async with office(tmp_path) as here:
        await here.stores.recorded_call()
        await here.opened()
    _only_read(tmp_path)


def _only_read(folder: Path) -> None:
    path = folder / "catalogue.db"
    before, names = path.read_bytes(), sorted(folder.iterdir())
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        assert check_stored(configuration(folder), ManualClock(NOW))["open"] == 1
    finally:
        folder.chmod(0o700)
    assert path.read_bytes() == before
    assert set(folder.iterdir()) - set(names) <= {folder / "catalogue.db-wal", folder / "catalogue.db-shm"}
