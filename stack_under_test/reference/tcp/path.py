"""What the route says to TCP: the path's MTU and the MSS to advertise (`dst_mtu`, `ipv4_default_advmss`)."""

from __future__ import annotations

from ...contract import abi
from ..inet import output as ip
from ..inet.header_options import HeaderOptions
from ..inet.routing import Route, dst_mtu
from ..net import Net
from .sock import TcpSock

MIN_ADVMSS = 256
DEFAULT_MTU = 1500
IPV4_MIN_MTU = 68
"""What is no longer than this needs no identification and always has DF."""


def mtu(sk: TcpSock) -> int:
    """The route's, or without a route what was last known."""
    return dst_mtu(sk.net, sk.route) if sk.route is not None else sk.pmtu or DEFAULT_MTU


def advmss(net: Net, route: Route | None) -> int:
    """The path's MTU less the headers."""
    size = DEFAULT_MTU
    if route is not None:
        size = dst_mtu(net, route) if net.release.advmss_follows_path else route.device.mtu
    return min(max(size - 40, MIN_ADVMSS), 65535 - 40)


def request_xmit(sk: TcpSock, route: Route, segment: bytes, options: HeaderOptions | None) -> None:
    """`ip_build_and_send_pkt`: a listener's SYN-ACK, with the listener's TTL, TOS and path MTU discovery."""
    ttl = sk.uc_ttl if sk.uc_ttl >= 0 else sk.net.sysctl.ip_default_ttl
    taken = len(options.data) if options is not None else 0
    df = len(segment) + 20 + taken <= IPV4_MIN_MTU or sk.pmtudisc in (abi.IP_PMTUDISC_DO, abi.IP_PMTUDISC_WANT)
    ip.send(sk.net, route, 6, segment, tos=sk.tos & ~3, ttl=ttl, df=df, options=options)
