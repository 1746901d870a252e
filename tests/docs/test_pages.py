"""The documents name what is there: links, packages, events, problems, outcomes, tests, rights and limits."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from callrec.api.gate import LARGER_BODIES, LARGEST_BODY
from callrec.api.roles import PERMISSIONS, Permission
from callrec.api.server import CONNECTIONS_PER_USER
from callrec.calls.call import State
from callrec.calls.outcome import Reason
from callrec.events.schema import EVENT_TYPES
from callrec.media.relay import BUFFER_SIZE
from callrec.recorder.health import Code
from callrec.recorder.service import _NEEDS_RESTART
from callrec.sdp.description import MAX_DESCRIPTION, MAX_LINES, MAX_MEDIA
from callrec.settings import Role
from callrec.signalling.tcp import TcpLimits
from callrec.sip.admission import KNOWN_METHODS
from callrec.sip.dialog import MAX_ROUTES
from callrec.sip.legs import MAX_BRANCHES
from callrec.sip.message import MAX_HEADER_LENGTH, MAX_HEADERS, MAX_MESSAGE
from callrec.sip.name_address import MAX_LIST_VALUES
from callrec.sip.uri import MAX_URI_LENGTH
from callrec.vault.keyring import SYSTEM_KEYS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
KIB = 1024


def page(name: str) -> str:
    return (DOCS / name).read_text()


def table(text: str, columns: int) -> list[list[str]]:
    """Return the rows of all tables of so many columns."""
    lines = (line.strip()[1:-1].split("|") for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line] for line in lines if len(line) == columns]


def rows(text: str, columns: int) -> dict[str, list[str]]:
    """Return the rows of `table` by their first cell."""
    return {row[0].strip("`"): row for row in table(text, columns)}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_sip_15_every_method_of_the_registry_has_its_row() -> None:
    """Whoever connects a trunk asks method by method."""
    assert {*KNOWN_METHODS, "any other"} <= rows(page("sip-support.md"), 3).keys()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    """A link to a file that went, or to a heading that was renamed, is found here and not by a reader."""
    for target in LINK.findall(path.read_text()):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, heading = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.exists(), f"{target} is not there"
        if heading:
            assert heading in {anchor(line.lstrip("# ")) for line in found.read_text().splitlines() if line[:1] == "#"}


def test_every_document_is_in_the_index() -> None:
    """docs/README.md leads to every page."""
    listed = set(LINK.findall(page("README.md")))
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shell_block_is_shell(path: Path) -> None:
    """What stands in a ```sh block can be pasted into a shell: it parses (sh -n runs nothing)."""
    for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        checked = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, f"{checked.stderr}\n{block}"


def test_every_package_and_every_floor_is_on_the_map() -> None:
    """docs/architecture.md has a row for each package of callrec, and names no other."""
    found = {path.parent.name for path in (ROOT / "callrec").glob("*/__init__.py")}
    named = {
        name for row in table(page("architecture.md"), 3) if row[0].isdigit() for name in re.findall(r"`(\w+)`", row[1])
    }
    modules = {path.stem for path in (ROOT / "callrec").glob("*.py")} - {"__init__", "__main__"}
    assert named == found | modules


def test_every_state_of_a_call_is_in_the_picture() -> None:
    """docs/architecture.md draws the states that callrec.calls knows, and no other."""
    picture = page("architecture.md").partition("stateDiagram-v2")[2].partition("```")[0]
    drawn = {state for line in picture.splitlines() for state in re.findall(r"\b[a-z]+\b", line.partition(":")[0])}
    assert drawn == {state.value for state in State}


def test_every_event_type_is_described() -> None:
    """docs/events.md has a row for each event that has a schema."""
    assert {f"{noun}/{verb}" for noun, verb in EVENT_TYPES} <= set(rows(page("events.md"), 3))


@pytest.mark.parametrize("code", Code)
def test_every_problem_says_what_to_do(code: Code) -> None:
    """docs/operations.md: what it means, what happens to calls, what to do."""
    row = rows(page("operations.md"), 4)[code.value]
    assert all(len(cell) > 3 for cell in row), row


@pytest.mark.parametrize("reason", Reason)
def test_every_outcome_says_what_to_do(reason: Reason) -> None:
    """docs/operations.md: what it means, what to do."""
    row = rows(page("operations.md"), 3)[reason.value]
    assert all(len(cell) > 3 for cell in row), row


def test_what_needs_a_restart_is_named() -> None:
    """docs/operations.md names the sections that a reload leaves alone."""
    told = page("operations.md").partition("**Reloading.**")[2].partition("\n")[0]
    assert set(re.findall(r"`\[(\w+)\]`", told)) == set(_NEEDS_RESTART)


def test_each_promise_of_privacy_names_code_and_tests_that_are_there() -> None:
    """docs/privacy.md: a promise without code or without a test is none."""
    found = table(page("privacy.md").partition("## Promises that come later")[0], 3)
    promises = [row for row in found if row[0] != "promise" and not row[0].startswith("---")]
    assert len(promises) > 50
    for promise, code, tests in promises:
        modules, proofs = re.findall(r"`([^`]+)`", code), re.findall(r"`([^`]+)`", tests)
        assert modules, promise
        assert proofs, promise
        assert all((ROOT / "callrec" / name).exists() for name in modules), code
        for proof in proofs:
            path, _, name = proof.partition("::")
            assert (ROOT / path).exists(), proof
            assert not name or f"def {name}(" in (ROOT / path).read_text(), proof


def test_the_rights_are_those_of_the_program() -> None:
    """docs/security-model.md shows for each right which roles have it."""
    rights = {
        "see the status": Permission.STATUS,
        "find and show calls, numbers in full": Permission.FIND,
        "pause, resume and end live recordings": Permission.LIVE,
        "play and export": Permission.LISTEN,
        "see the signalling of calls (trace)": Permission.TRACE,
        "delete": Permission.DELETE,
        "handle requests, stops, holds, relationships and retention": Permission.PROMISES,
        "read events": Permission.EVENTS,
        "read the audit chain": Permission.AUDIT,
        "verify the store, take notices into use": Permission.ADMINISTER,
    }
    assert set(rights.values()) | {Permission.NUMBERS} == set(Permission)
    shown = rows(page("security-model.md"), 6)
    order = [Role(name) for name in shown["may"][1:]]
    assert set(order) == set(Role)
    for words, right in rights.items():
        assert [bool(cell) for cell in shown[words][1:]] == [right in PERMISSIONS[role] for role in order], words


def test_the_limits_are_those_of_the_program() -> None:
    """docs/security-model.md: what is refused, and from where on."""
    limits = {name: row[1] for name, row in rows(page("security-model.md"), 3).items()}
    sip = f"{MAX_MESSAGE // KIB} KiB, {MAX_HEADERS} headers of {MAX_HEADER_LENGTH // KIB} KiB"
    assert limits["a SIP message"] == f"{sip}, {MAX_LIST_VALUES} values in a list, {MAX_ROUTES} routes"
    assert limits["a SIP URI"] == f"{MAX_URI_LENGTH // KIB} KiB"
    assert limits["a session description"] == f"{MAX_DESCRIPTION // KIB} KiB, {MAX_LINES:,} lines, {MAX_MEDIA} media"
    assert limits["answers to one INVITE of ours (forking)"] == f"{MAX_BRANCHES} branches"
    tcp = TcpLimits()
    buffered = f"{tcp.write_buffer // KIB**2} MiB unsent"
    assert (
        limits["TCP connections"]
        == f"{tcp.connections:,}; {tcp.message_timeout:g} s for a message to be whole; {buffered}"
    )
    assert limits["an RTP packet"] == f"12 to {BUFFER_SIZE:,} bytes"
    assert limits["a request to the API"] == f"{LARGEST_BODY // KIB**2} MiB, {CONNECTIONS_PER_USER} connections a user"
    assert limits["an import of relationships"] == f"{max(LARGER_BODIES.values()) // KIB**2} MiB"


def test_every_key_is_in_the_picture() -> None:
    """docs/security-model.md draws every key of the keyring."""
    picture = page("security-model.md").partition("## Keys")[2].partition("- Every key")[0]
    assert all(name in picture for name in SYSTEM_KEYS)
