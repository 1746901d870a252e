"""Loading: the layers, their order, and one line for the first fault."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from callrec.errors import ConfigurationError, ExitCode
from callrec.settings import CalendarPeriod, NamedOrigin, PeerRole, Settings, build, explain, load

SHIPPED = Path(__file__).parents[2] / "config" / "callrec.toml"
RULE = """
[[retention_class]]
name = "unmatched"
keep = "2y"
[[capture_rule]]
name = "inbound"
direction = "inbound"
controller = "Better Comms"
purpose = "training"
lawful_basis = "legitimate_interests"
assessment_ref = "LIA-1"
notice = "training"
retention_class = "unmatched"
"""


def write(folder: Path, text: str, name: str = "callrec.toml") -> Path:
    """Return the path of a configuration file with this text."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def fault(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the one line that says what is wrong with a configuration."""
    with pytest.raises(ConfigurationError) as caught:
        load(write(folder, text), environ or {})
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}/")


def test_the_shipped_file_loads_as_it_is() -> None:
    """config/callrec.toml is a configuration, not an essay."""
    settings = load(SHIPPED, {})
    assert [peer.name for peer in settings.peer] == ["trunk", "pbx"]
    assert settings.route[0].from_ == "trunk"
    assert settings.capture_rule[0].retention_class == "unmatched"
    assert settings.retention_class[0].keep == CalendarPeriod(years=2)
    assert settings.mqtt is not None
    assert str(settings.mqtt.url) == "mqtt://127.0.0.1:1883"


def test_the_shipped_file_shows_every_default_of_its_sections() -> None:
    """A value in config/callrec.toml is the default, and no key of a plain section is missing there."""
    settings, defaults = load(SHIPPED, {}), build({}, base=Path("/"))
    for name in ("org", "node", "paths", "keys", "sip", "rtp", "attendant", "calling_line", "limits", "privacy", "api"):
        assert getattr(settings, name) == getattr(defaults, name)
        keys = type(getattr(settings, name)).model_fields
        assert [key for key in keys if "callrec.toml" not in str(settings.origins.of((name, key)))] == []


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    """LAW-1: without peers, routes and rules nothing is answered and nothing recorded; the rest has defaults."""
    settings = load(write(tmp_path, ""), {})
    assert (settings.peer, settings.route, settings.capture_rule, settings.mqtt) == ((), (), (), None)
    assert settings.sip.max_calls == 500
    assert settings.rtp.ports == range(10000, 30000)
    assert settings.limits.min_free == 2**30
    assert settings.limits.longest_call == timedelta(hours=8)
    assert settings.roles == {"root": "admin"}


def test_without_an_mqtt_table_events_stay_in_the_outbox(tmp_path: Path) -> None:
    """No table, an empty URL or no URL: no broker."""
    assert load(write(tmp_path, ""), {}).mqtt is None
    mqtt = load(write(tmp_path, '[mqtt]\nurl = ""\nnumbers = "last4"'), {}).mqtt
    assert mqtt is not None
    assert mqtt.url is None


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The first error a new operator meets names the way out."""
    with pytest.raises(ConfigurationError, match=r"no such file.*copy config/callrec.toml.*--config FILE"):
        load(tmp_path / "callrec.toml", {})


def test_a_file_that_is_no_file_or_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    """A directory, or bytes that are no UTF-8."""
    with pytest.raises(ConfigurationError, match="expected a file"):
        load(tmp_path, {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load(tmp_path / "bytes.toml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sip]\nmax_calls = ", "callrec.toml:2: found 'max_calls =', expected valid TOML: "),
        ("[sip]\nmaxcalls = 3", 'callrec.toml:2: sip.maxcalls: found an unknown key, expected "max_calls"'),
        ("[sipp]\nx = 3", 'callrec.toml:1: sipp: found an unknown key, expected "sip"'),
        ("[sip]\n\nmax_calls = 'many'", 'callrec.toml:3: sip.max_calls: found "many", expected a whole number'),
        ("[sip]\nmax_calls = 0", "callrec.toml:2: sip.max_calls: found 0, expected at least 1"),
        ("[sip]\nmax_calls = true", "callrec.toml:2: sip.max_calls: found true, expected a whole number"),
        ("sip = 3", "callrec.toml:1: sip: found 3, expected a table"),
        (
            "[sip]\nlisten = 'udp://0.0.0.0:5060'",
            'callrec.toml:2: sip.listen: found "udp://0.0.0.0:5060", expected an array',
        ),
        ("[sip]\ndns_servers = ['ns.example']", "sip.dns_servers[0]"),
        ("[sip]\ndns_servers = ['192.0.2.53:70000']", "expected a port between 1 and 65535"),
        ("[sip]\nlisten = []", "callrec.toml:2: sip.listen: found nothing, expected at least 1"),
        (
            "[sip]\nlisten = [\n 'udp://127.0.0.1:5060',\n 'sctp://127.0.0.1:5060']",
            "callrec.toml:4: sip.listen[1]: found",
        ),
        ("[sip]\nlisten = ['udp://127.0.0.1:70000']", "expected a port between 1 and 65535"),
        ("[attendant]\nstop_key = '9'", 'attendant.stop_key: found "9", expected a key that neither declines'),
        ("[attendant]\nstop_key = '55'", 'attendant.stop_key: found "55", expected one key of a telephone'),
        ("[sip]\nlisten = ['udp://localhost:5060']", "expected udp://, tcp:// or tls:// with an IP address"),
        ("[sip]\nlisten = ['sctp://127.0.0.1:5061']", "expected udp://, tcp:// or tls:// with an IP address"),
        (
            "[sip]\nlisten = ['tls://127.0.0.1:5061']",
            'sip.listen[0]: found "tls://127.0.0.1:5061" without a certificate, expected sip.tls_certificate_file',
        ),
        ("[[peer]]\nname = 'a'\naddresses = ['10.0.0.1']\nrole = 'pbx'\ntls_names = ['*.a.test']", "without wildcard"),
        ("[[peer]]\nname = 'a'\naddresses = ['10.0.0.1']\nrole = 'pbx'\nsrtp = 'required'", "go over TLS only"),
        ("[sip]\nlisten = ['udp://127.0.0.1:5060', 'udp://0.0.0.0:5060']", 'sip.listen[1]: found "udp://0.0.0.0:5060"'),
        (
            "[rtp]\nports = '10001-20000'",
            'callrec.toml:2: rtp.ports: found "10001-20000", expected a range that begins with',
        ),
        ("[rtp]\nports = '20000-10000'", "expected a range whose last port lies above its first"),
        ("[rtp]\nports = '10000-10000'", "expected a range whose last port lies above its first"),
        ("[rtp]\nports = '80-90'", "expected ports between 1024 and 65535"),
        ("[rtp]\nports = '10000-70000'", "expected ports between 1024 and 65535"),
        ("[rtp]\nports = 10000", "callrec.toml:2: rtp.ports: found 10000, expected text: a range of ports"),
        ("[limits]\nlongest_call = '8 hours'", "expected a duration above zero such as 60s"),
        ("[limits]\nlongest_call = '0s'", "expected a duration above zero such as 60s"),
        ("[limits]\nmin_free = '1G'", 'limits.min_free: found "1G", expected a size such as 1GiB'),
        ("[org]\ntimezone = 'Europe/Lundon'", "expected the name of a time zone such as Europe/London"),
        ("[org]\nname = ''", 'callrec.toml:2: org.name: found "", expected text on one line'),
        ("[node]\nid = 'a/b'", 'node.id: found "a/b", expected a name of letters'),
        ("[calling_line]\nwithheld_number_policy = 'keep'", 'found "keep", expected "drop", "keyed_hash" or "sealed"'),
        ("[attendant]\nopt_out_key = 9", "attendant.opt_out_key: found 9, expected one key of a telephone"),
        ("[mqtt]\nurl = 'mqtt://u:secret@h'", "expected a URL without user and password"),
        ("[mqtt]\nurl = 'http://h'", "expected mqtt://host:port"),
        ("[roles]\nwheel = 'god'", 'callrec.toml:2: roles.wheel: found "god", expected "operator",'),
        (
            "[[peer]]\nname = 'a'\nrole = 'trunk'",
            "callrec.toml:1: peer[0].addresses: found nothing, expected a value: Where",
        ),
        ("[[peer]]\nname='a'\nrole='pbx'\naddresses=['10.0.0.1/8']", "expected a network whose host bits are zero"),
        ("[[peer]]\nname='a'\nrole='pbx'\naddresses=['10.0.0.300']", "expected a host or IP address"),
        (
            "[[route]]\ndestination = 'pbx:5060'",
            'callrec.toml:2: route[0].destination: found "pbx:5060", expected a SIP URI',
        ),
        ("[[route]]\ndestination = []", "route[0].destination: found an array, expected one SIP URI"),
        ("[[route]]\ndestination = ['sip:a@b', 'sip:a@b']", "a list of them, tried in their order, each once"),
        ("[[route]]\ndestination = ['sip:a@b', 'b:5060']", "route[0].destination: found an array, expected a SIP URI"),
        ("[[peer]]\nname='a'\nrole='pbx'\naddresses=['10.0.0.1']\nallow_refer='yes'", 'allow_refer: found "yes"'),
        (
            "[[retention_class]]\nname = 'a'\nkeep = '0d'",
            'callrec.toml:3: retention_class[0].keep: found "0d", expected a period above zero',
        ),
        ("[privacy]\nguard_percent = 101", "callrec.toml:2: privacy.guard_percent: found 101, expected"),
        ("[privacy]\nbank_holidays = 'wales'", 'found "wales", expected "england_and_wales", "scotland" or'),
        ("[[route]]\nfrom_ = 'x'", 'route[0].from_: found an unknown key, expected "from"'),
    ],
)
def test_a_fault_is_one_line_with_file_line_key_and_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    """Unknown key, wrong type or impossible value."""
    assert expected in fault(tmp_path, text)


def test_a_destination_is_one_uri_or_a_list_of_them(tmp_path: Path) -> None:
    """FAIL-2: of routes, of keys and the default of a menu, and of emergency calls."""
    one, two = "sip:10.0.0.1", "sip:10.0.0.2"
    text = f"""
[emergency]
destination = ["{one}", "{two}"]
[[route]]
destination = "{one}"
[[route]]
destination = ["{one}", "{two}"]
[[menu]]
name = "main"
default = ["{two}"]
digits = {{ 1 = "{one}", 2 = ["{two}", "{one}"] }}
"""
    settings = load(write(tmp_path, text), {})
    assert [route.destination for route in settings.route] == [(one,), (one, two)]
    assert settings.emergency.destination == (one, two)
    assert (settings.menu[0].default, settings.menu[0].digits) == ((two,), {"1": (one,), "2": (two, one)})


LISTENING = """
[sip]
listen = ["udp://127.0.0.1:5060", "tls://127.0.0.1:5061"]
tls_certificate_file = "./a.pem"
tls_key_file = "./a.key"
[[peer]]
name = "a"
addresses = ["10.0.0.1", "a.test"]
role = "pbx"
transport = "tls"
"""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[[route]]\ndestination = 'sip:10.0.0.1;transport=udp'", "route[0].destination"),
        ("[[route]]\ndestination = ['sips:10.0.0.1', 'sip:1@A.test;Transport=TCP']", "route[0].destination"),
        ("[emergency]\ndestination = 'sip:10.0.0.1:5060;transport=tcp'", "emergency.destination"),
        ("[[menu]]\nname = 'm'\ndigits = { 1 = 'sip:10.0.0.1;transport=udp' }", "menu[0].digits.1"),
        ("[[menu]]\nname = 'm'\ndigits = { 1 = 'sip:b' }\ndefault = 'sip:a.test;transport=udp'", "menu[0].default"),
    ],
)
def test_no_destination_takes_a_peer_out_of_tls(tmp_path: Path, text: str, key: str) -> None:
    """SIP-13: what is never called in clear is found at the start, with its line, not by the first call."""
    found = fault(tmp_path, LISTENING + text)
    assert f": {key}: found " in found
    assert 'expected sips: or no transport, for peer "a" has transport = "tls" and is never called in clear' in found


def test_a_destination_without_transport_or_with_tls_fits_a_peer_of_tls(tmp_path: Path) -> None:
    """SIP-13: and what leads to others is their affair."""
    uris = "'sip:10.0.0.1', 'sips:a.test', 'sip:10.0.0.1:5061;transport=tls', 'sip:10.0.0.2;transport=udp'"
    assert load(write(tmp_path, f"{LISTENING}[[route]]\ndestination = [{uris}]"), {}).peer[0].transport == "tls"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_peer_is_called_only_by_what_we_listen_on(tmp_path: Path, transport: str) -> None:
    """SIP-13: a transport without a place of ours is a fault of the configuration, not of every call."""
    text = "[sip]\nlisten = ['udp://127.0.0.1:5060']\n[[peer]]\nname='a'\naddresses=['10.0.0.1']\nrole='pbx'\n"
    expected = f'peer[0].transport: found "{transport}", expected a place {transport}://… in sip.listen for it'
    assert expected in fault(tmp_path, f"{text}transport = '{transport}'")


def test_srtp_without_its_extra_is_a_fault_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RTP-9: the core works without pylibsrtp; who asks for SRTP is told what to install."""
    text = (
        "[sip]\nlisten = ['tls://127.0.0.1:5061']\ntls_certificate_file = './a.pem'\ntls_key_file = './a.key'\n"
        "[[peer]]\nname = 'a'\naddresses = ['10.0.0.1']\nrole = 'pbx'\nsrtp = '{}'"
    )
    monkeypatch.setattr("callrec.settings.checks.find_spec", lambda _: None)
    assert 'pip install "callrec[srtp]"' in fault(tmp_path, text.format("optional"))
    assert load(write(tmp_path, text.format("off")), {}).peer[0].srtp == "off"


def test_of_several_faults_the_first_in_the_file_is_told(tmp_path: Path) -> None:
    """Repairs go from top to bottom."""
    assert fault(tmp_path, "[rtp]\nports = 'x'\n[org]\nname = 3\n[sip]\nfoo = 1").startswith("callrec.toml:2:")


@pytest.mark.parametrize("key", ["controller", "purpose", "lawful_basis", "notice", "retention_class"])
def test_law_2_a_capture_rule_with_a_missing_field_is_refused(tmp_path: Path, key: str) -> None:
    """LAW-2: each capture rule names controller, purpose, lawful basis, notice and retention class."""
    lines = [line for line in RULE.splitlines() if not line.startswith(f"{key} =")]
    assert f"callrec.toml:5: capture_rule[0].{key}: found nothing" in fault(tmp_path, "\n".join(lines))
    emptied = [f'{key} = ""' if line.startswith(f"{key} =") else line for line in RULE.splitlines()]
    assert f'capture_rule[0].{key}: found ""' in fault(tmp_path, "\n".join(emptied))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('assessment_ref = "LIA-1"', "", "capture_rule[0].assessment_ref: found nothing, expected the reference"),
        ("legitimate_interests", "consent", 'capture_rule[0].lawful_basis: found "consent", expected another basis'),
        (
            'retention_class = "unmatched"',
            'retention_class = "gone"',
            'found "gone", expected the name of a [[retention_class]]',
        ),
        (
            'notice = "training"',
            'notice = "training"\nmenu = "main"',
            "expected the name of a [[menu]] (there is: none yet)",
        ),
    ],
)
def test_law_6_and_names_a_rule_uses_are_checked(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """LAW-6: legitimate interests need an assessment; consent needs a key we do not have; names must exist."""
    assert expected in fault(tmp_path, RULE.replace(old, new))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[route]]\nfrom = "trnk"\ndestination = "sip:10.0.0.1"', 'callrec.toml:2: route[0].from: found "trnk"'),
        ('[[route]]\nrule = "in"\ndestination = "sip:10.0.0.1"', 'callrec.toml:2: route[0].rule: found "in"'),
        ("\n".join(["[[peer]]\nname='a'\nrole='pbx'\naddresses=['10.0.0.1']"] * 2), "callrec.toml:6: peer[1].name"),
        (
            (
                "[[peer]]\nname='a'\nrole='pbx'\naddresses=['10.0.0.1']\n"
                "[[peer]]\nname='b'\nrole='pbx'\naddresses=['::1', '10.0.0.1']"
            ),
            'callrec.toml:8: peer[1].addresses[1]: found "10.0.0.1", expected an address that peer "a" does not have',
        ),
        ("[[menu]]\nname='m'\n[menu.digits]\n1='sip:1@h'\n9='sip:h'", 'callrec.toml:5: menu[0].digits.9: found "9"'),
        ("[[menu]]\nname='m'\n[menu.digits]\n12='sip:1@h'", 'menu[0].digits.12: found "12", expected one key'),
        ("[[menu]]\nname='m'\n", "menu[0].digits: found nothing, expected a value: Table of key"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    """A name that does not exist, a name or address twice, the opt-out key in a menu."""
    assert expected in fault(tmp_path, text)


def test_files_of_conf_d_extend_tables_and_append_to_arrays(tmp_path: Path) -> None:
    """Later files win, and a fault in one of them is told with its own name and line."""
    path = write(
        tmp_path, "[sip]\nmax_calls = 1\ndrain_seconds = 5\n[[peer]]\nname='a'\nrole='pbx'\naddresses=['10.0.0.1']"
    )
    write(
        tmp_path,
        "[sip]\nmax_calls = 2\n[[peer]]\nname='b'\nrole='trunk'\naddresses=['10.0.0.2']",
        "conf.d/10-more.toml",
    )
    write(tmp_path, "[sip]\nmax_calls = 3\n", "conf.d/20-last.toml")
    write(tmp_path, "no toml at all", "conf.d/README.md")
    settings = load(path, {})
    assert (settings.sip.max_calls, settings.sip.drain_seconds) == (3, 5)
    assert [(peer.name, peer.role) for peer in settings.peer] == [("a", PeerRole.PBX), ("b", PeerRole.TRUNK)]
    assert str(settings.origins.of(("peer", 1, "name"))) == f"{tmp_path}/conf.d/10-more.toml:4"
    write(tmp_path, "[sip]\nmax_calls = 3\n[[peer]]\nname = 'c'\nrole='bpx'\naddresses=['::1']", "conf.d/20-last.toml")
    with pytest.raises(ConfigurationError, match=r"20-last.toml:5: peer\[2\].role: found \"bpx\""):
        load(path, {})


def test_the_environment_wins_over_files(tmp_path: Path) -> None:
    """CALLREC_SECTION__KEY, in the type the key has; other variables are none of our business."""
    environ = {
        "CALLREC_SIP__MAX_CALLS": "2000",
        "CALLREC_SIP__LISTEN": "udp://127.0.0.1:6000, tcp://127.0.0.1:6000",
        "CALLREC_RTP__PORTS": "20000-20099",
        "CALLREC_ATTENDANT__OPT_OUT_KEY": "8",
        "CALLREC_NODE__TEST": "true",
        "CALLREC_MQTT__URL": "mqtt://broker.example",
        "CALLREC_CLOCK_OFFSET": "5",
        "CALLREC_CONFIG": "x",
        "PATH": "/bin",
    }
    settings = load(write(tmp_path, "[sip]\nmax_calls = 1"), environ)
    assert settings.sip.max_calls == 2000
    assert [str(place) for place in settings.sip.listen] == ["udp://127.0.0.1:6000", "tcp://127.0.0.1:6000"]
    assert (settings.rtp.ports, settings.attendant.opt_out_key, settings.node.test) == (range(20000, 20100), "8", True)
    assert settings.mqtt is not None
    assert str(settings.mqtt.url) == "mqtt://broker.example:1883"
    assert str(settings.origins.of(("sip", "max_calls"))) == "environment CALLREC_SIP__MAX_CALLS"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "CALLREC_SIP__MAX_CALLS",
            "many",
            'environment CALLREC_SIP__MAX_CALLS: sip.max_calls: found "many", expected a whole',
        ),
        ("CALLREC_SIP__MAXCALLS", "3", "environment CALLREC_SIP__MAXCALLS: sip.maxcalls: found an unknown key"),
        ("CALLREC_SIPP__X", "3", "environment CALLREC_SIPP__X: sipp: found an unknown key"),
        (
            "CALLREC_PEER__NAME",
            "x",
            "environment: CALLREC_PEER__NAME: found an override of [[peer]], expected it in a file",
        ),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(tmp_path: Path, name: str, value: str, expected: str) -> None:
    """The operator sees which variable it was."""
    assert expected in fault(tmp_path, "[[peer]]\nname='a'\nrole='pbx'\naddresses=['::1']", {name: value})


def test_relative_paths_count_from_the_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from the working directory, and not from conf.d."""
    monkeypatch.chdir("/")
    path = write(tmp_path, "[paths]\nrecordings = 'recordings'")
    write(tmp_path, "[paths]\nstate = 'state'\n[keys]\nmaster_key_file = 'keys/master'", "conf.d/a.toml")
    settings = load(path, {})
    assert settings.paths.recordings == tmp_path / "recordings"
    assert settings.paths.state == tmp_path / "state"
    assert settings.keys.master_key_file == tmp_path / "keys/master"


def test_a_bare_file_name_is_a_credential_or_lies_in_the_state_folder(tmp_path: Path) -> None:
    """$CREDENTIALS_DIRECTORY under systemd, <state> outside it or where the unit has no credential of that name."""
    path = write(
        tmp_path, "[paths]\nstate = 'state'\n[mqtt]\npassword_file = 'mqtt-password'\n[keys]\nmaster_key_file = 'mk'"
    )
    outside = load(path, {})
    assert outside.keys.master_key_file == tmp_path / "state/mk"
    assert outside.mqtt is not None
    assert outside.mqtt.password_file == tmp_path / "state/mqtt-password"
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert load(path, environ).keys.master_key_file == tmp_path / "credentials/mk"
    write(tmp_path, "key", "state/mk")
    assert load(path, environ).keys.master_key_file == tmp_path / "state/mk"
    write(tmp_path, "key", "credentials/mk")
    assert load(path, environ).keys.master_key_file == tmp_path / "credentials/mk"


def test_a_program_builds_settings_from_a_few_keys(tmp_path: Path) -> None:
    """The demo and tests override what they need; faults are told in the same way."""
    settings = build({"sip": {"max_calls": 3}, "route": [{"destination": "sip:127.0.0.1"}]}, base=tmp_path)
    assert (settings.sip.max_calls, len(settings.route)) == (3, 1)
    assert settings.origins.of(("sip", "max_calls")) == NamedOrigin("embedded")
    with pytest.raises(ConfigurationError, match=r"^embedded: sip.max_calls: found 0, expected at least 1$"):
        build({"sip": {"max_calls": 0}}, base=tmp_path)


def test_settings_are_frozen() -> None:
    """A reload makes new settings; nobody changes the old ones."""
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings().sip, "max_calls", 3)  # noqa: B010 - the type checker refuses the plain form, as it should


def test_the_peer_of_a_source_is_the_longest_match(tmp_path: Path) -> None:
    """host:port before host before network; a stranger is nobody."""
    text = """
[[peer]]
name = "net"
role = "trunk"
addresses = ["10.0.0.0/8", "2001:db8::/32"]
[[peer]]
name = "host"
role = "trunk"
addresses = ["10.1.1.1", "sbc.example"]
[[peer]]
name = "port"
role = "pbx"
addresses = ["10.1.1.1:5070", "[2001:db8::1]:5060"]
"""
    settings = load(write(tmp_path, text), {})
    sources = [("10.1.1.1", 5070), ("10.1.1.1", 5060), ("10.2.2.2", 1), ("2001:db8::1", 5060), ("11.0.0.1", 1)]
    found = [peer.name if (peer := settings.find_peer(*source)) else None for source in [*sources, ("::1", 1)]]
    assert found == ["port", "host", "net", "port", None, None]


def test_explain_shows_each_setting_as_toml_with_its_origin(tmp_path: Path) -> None:
    """`callrec config show` prints what can be pasted back, and where it came from."""
    text = "[limits]\nmin_free = '2048MiB'\n[mqtt]\nusername = 'u'\n" + RULE
    shown = {item.key: item for item in explain(load(write(tmp_path, text), {"CALLREC_SIP__MAX_CALLS": "7"}))}
    assert shown["limits.min_free"].value == '"2GiB"'
    assert shown["limits.min_free"].origin == f"{tmp_path}/callrec.toml:2"
    assert (shown["sip.max_calls"].value, shown["sip.max_calls"].origin) == ("7", "environment CALLREC_SIP__MAX_CALLS")
    assert (shown["rtp.ports"].value, shown["rtp.ports"].origin) == ('"10000-29999"', "default")
    assert shown["retention_class[0].keep"].value == '"2y"'
    assert shown["roles.root"].value == '"admin"'
