"""Where a transfer leads that stays within the PBX: back to it, for it names its telephones in a world of its own."""

from __future__ import annotations

from callrec.calling_line import NumberKind
from callrec.calls.inputs import Side
from callrec.errors import PeerError
from callrec.recorder.arrival import Arrival
from callrec.recorder.dialling import is_peers
from callrec.recorder.live_call import LiveCall, LiveTransfer
from callrec.recorder.tools import Tools
from callrec.settings import PeerRole
from callrec.sip.building import host_port
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

_ANY_NUMBER = ("", "*")


def home_of(tools: Tools, call: LiveCall, transfer: LiveTransfer, dialled: Arrival) -> str | None:
    """Return the PBX itself for a Refer-To to one of its telephones, None for any other.

    A telephone transfers to `sip:101@pbx.example`, in the domain of its Referred-By, which is no address of a peer.
    By the routes that would leave over the trunk: to nobody, or, for an extension 101, to the police. A telephone
    number is taken by the routes all the same, and so is an extension that a route names.
    """
    peer = dialled.peer
    if peer.role is not PeerRole.PBX or dialled.emergency or dialled.called.e164 or not dialled.dialled:
        return None
    named = dialled.route is not None and dialled.route.called not in _ANY_NUMBER
    extension = dialled.called.kind is NumberKind.EXTENSION and not named
    if not (extension or _in_own_domain(tools, transfer, dialled.request.uri)):
        return None
    place = _place_of(tools, call, transfer.side)
    if place is None:
        return None
    user = dialled.dialled.partition(";")[0]
    return str(Uri(place.scheme, user, None, place.host, place.port, place.parameters))


def _in_own_domain(tools: Tools, transfer: LiveTransfer, target: Uri) -> bool:
    """Return whether a target is in the domain that the transferor gives itself, which must not be ours."""
    said = next((value for name, value in transfer.headers if name.lower() == "referred-by"), "")
    try:
        own = NameAddress.parse(said).uri.host
    except PeerError:
        return False
    return bool(own) and own.lower() == target.host.lower() and not tools.driver.is_ours(own, target.port or 5060)


def _place_of(tools: Tools, call: LiveCall, side: Side) -> Uri | None:
    """Return where the PBX is reached: where we called it, or where its own INVITE came from."""
    if side is Side.DESTINATION:
        return Uri.parse(call.trying.uri) if call.trying is not None else None
    contact, flow = call.arrival.request.contact, call.arrival.incoming.flow
    if contact is not None and is_peers(tools, contact.uri):
        return contact.uri
    return Uri.parse(f"sip:{host_port(flow.remote)}") if flow.transport == "udp" else None
