"""The two settings of a thin client are those that the whole configuration would give."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrec.console.place import read_place
from callrec.errors import ConfigurationError
from callrec.settings import load


@pytest.mark.parametrize(
    ("main", "part", "environ"),
    [
        ("", None, {}),
        ('[api]\nsocket = "a.sock"\n', None, {}),
        ('[api]\nsocket = "/x/a.sock"\n[org]\ntimezone = "Europe/Dublin"\n', None, {}),
        ('[api]\nsocket = "a.sock"\n', '[api]\nsocket = "b.sock"\n', {}),
        ('[api]\nsocket = "a.sock"\n', '[org]\ntimezone = "UTC"\n', {"CALLREC_API__SOCKET": "c.sock"}),
        ("", None, {"CALLREC_ORG__TIMEZONE": "Europe/Paris"}),
    ],
)
def test_it_is_what_the_whole_configuration_says(
    tmp_path: Path, main: str, part: str | None, environ: dict[str, str]
) -> None:
    """File, conf.d and environment count in the same order, paths from the same folder."""
    config = tmp_path / "callrec.toml"
    config.write_text(main)
    if part is not None:
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "10.toml").write_text(part)
    settings = load(config, environ)
    place = read_place(config, named=True, environ=environ)
    assert (place.socket, place.zone.key) == (settings.api.socket, settings.org.timezone)


def test_a_default_configuration_may_be_absent(tmp_path: Path) -> None:
    """A machine with a socket and no configuration for this user works with the defaults."""
    assert str(read_place(tmp_path / "no.toml", named=False, environ={}).socket) == "/run/callrec/api.sock"
    with pytest.raises(ConfigurationError):
        read_place(tmp_path / "no.toml", named=True, environ={})


@pytest.mark.parametrize("text", ["[api\n", '[org]\ntimezone = "Mars/Olympus"\n', None])
def test_a_named_socket_needs_no_configuration(tmp_path: Path, text: str | None) -> None:
    """The recorder goes on with its old configuration while the file is broken: who names its socket is let in."""
    config = tmp_path / "callrec.toml"
    if text is not None:
        config.write_text(text)
    place = read_place(config, named=True, socket=tmp_path / "api.sock", environ={})
    assert (place.socket, place.zone.key) == (tmp_path / "api.sock", "Europe/London")
    assert str(config) in place.doubt
    with pytest.raises(ConfigurationError):
        read_place(config, named=True, environ={})


def test_a_named_socket_keeps_the_time_zone_of_the_file(tmp_path: Path) -> None:
    """Only what was named is not looked up."""
    config = tmp_path / "callrec.toml"
    config.write_text('[org]\ntimezone = "Europe/Paris"\n')
    place = read_place(config, named=True, socket=Path("/x.sock"), environ={})
    assert (str(place.socket), place.zone.key, place.doubt) == ("/x.sock", "Europe/Paris", "")
