"""SIP on real sockets: the driver of the endpoint, and the peers who may speak to us."""

from callrec.signalling.certificates import TlsFiles, expires_at
from callrec.signalling.counters import Counters
from callrec.signalling.driver import Driver, DriverSettings
from callrec.signalling.peers import Peers
from callrec.signalling.tcp import TcpLimits

__all__ = ["Counters", "Driver", "DriverSettings", "Peers", "TcpLimits", "TlsFiles", "expires_at"]
