"""`callrec integrate` prints texts that fit this machine, and says what it needs to know where it does not."""

from __future__ import annotations

import re

import pytest

from callrec.console.integrate import SYSTEMS
from tests.console.conftest import Desk

PBX = '[[peer]]\nname = "pbx"\naddresses = ["127.0.0.2"]\nrole = "pbx"\n'


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_text_has_the_addresses_of_this_machine(desk: Desk, system: str) -> None:
    """The recorder's, the PBX's as the route has it, the trunk's; nothing is left to be filled in."""
    desk.config.write_text(desk.config.read_text() + PBX)
    ran = desk.run("integrate", system)
    assert ran.code == 0, ran.err
    assert "127.0.0.1:5079" in ran.out or ("127.0.0.1" in ran.out and "5079" in ran.out)
    assert "127.0.0.2:5062" in ran.out
    assert "127.0.0.1:5060" in ran.out or "port 5060" in ran.out
    assert not re.search(r"\$(callrec|pbx|trunk|edge|organisation)", ran.out)
    assert desk.run("integrate", system, "--json").document == {"system": system, "text": ran.out}


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("asterisk", r"contact = sip:127.0.0.1:5078\;transport=tcp"),
        ("asterisk", "transport = transport-tcp"),
        ("freeswitch", 'value="127.0.0.1:5078;transport=tcp"'),
        ("freepbx", "0.0.0.0-tcp"),
    ],
)
def test_sip_13_a_text_has_the_transport_of_the_pbx(desk: Desk, system: str, said: str) -> None:
    """`[[peer]] transport` counts both ways: our place for it, and how the PBX names it."""
    listen = 'listen = ["udp://127.0.0.1:5079", "tcp://127.0.0.1:5078"]\n'
    text = re.sub(r"(?m)^listen = .*\n", listen, desk.config.read_text())
    desk.config.write_text(f'{text}{PBX}transport = "tcp"\n')
    ran = desk.run("integrate", system)
    assert said in ran.out, ran.err + ran.out
    assert 'transport = "tcp"' in ran.out


def test_several_peers_of_one_role_are_told_apart_by_name(desk: Desk) -> None:
    """Exit code 2 names those there are and the option that chooses."""
    assert desk.run("integrate", "asterisk").code == 2
    second = PBX.replace('"pbx"\nadd', '"second"\nadd').replace("127.0.0.2", "127.0.0.4")
    desk.config.write_text(desk.config.read_text() + PBX + second)
    ran = desk.run("integrate", "asterisk")
    assert (ran.code, "pbx, second" in ran.err, "--pbx NAME" in ran.err) == (2, True, True)
    assert "127.0.0.4:5060" in desk.run("integrate", "asterisk", "--pbx", "second").out
    assert desk.run("integrate", "asterisk", "--pbx", "third").code == 2


def test_a_pbx_nobody_configures_is_a_usage_error(desk: Desk) -> None:
    """The choices are named."""
    ran = desk.run("integrate", "panasonic")
    assert ran.code == 2
    assert all(system in ran.err for system in SYSTEMS)
    assert desk.run("integrate", "kamailio", "--edge", "nowhere:0").code == 2
