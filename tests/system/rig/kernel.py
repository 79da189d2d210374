"""What the kernel has, read by ip(8) and wg(8), and what a document asks of it, worked out here: neither
uses anything of the daemon."""

import base64
import ipaddress
import json
import pathlib
import subprocess

from rig import linux

LINK_LOCAL = ipaddress.ip_network("fe80::/10")
MULTICAST = ipaddress.ip_network("ff00::/8")
MTU = 1420
KEEPALIVE = 25
# The prefix names the family, which the lines of a batch cannot do otherwise.
QUESTIONS = "address show\nroute show table all root 0.0.0.0/0\nroute show table all root ::/0\n"
FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")


def clamped(key):
    """A private key as WireGuard gives it back (RFC 7748, section 5)."""
    raw = bytearray(base64.b64decode(key))
    raw[0] &= 0xf8
    raw[31] = raw[31] & 0x7f | 0x40
    return base64.b64encode(raw).decode()


def cidr(text):
    """In one form: host bits cleared, always with a prefix."""
    return str(ipaddress.ip_network(text, strict=False))


def _route(entry, family):
    dst = entry["dst"]
    if dst == "default":
        dst = "0.0.0.0/0" if family == 4 else "::/0"
    return ipaddress.ip_network(dst)


def _routes(entries, family, device):
    """Those through the device; the table "local" is the kernel's own, any other but "main" is named."""
    for entry in entries:
        route, table = _route(entry, family), entry.get("table", "main")
        if entry.get("dev") == device and table != "local" and not _own(route):
            yield str(route) if table == "main" else f"{route} table {table}"


def _own(route):
    """What the kernel makes for every link."""
    return route == MULTICAST or route.version == 6 and route.subnet_of(LINK_LOCAL)


def _peer(line):
    key, preshared, endpoint, ranges, _, _, _, keepalive = line.split("\t")
    return key, {
        "preshared_key": None if preshared == "(none)" else preshared,
        "endpoint": None if endpoint == "(none)" else endpoint,
        "allowed_ips": sorted(set() if ranges == "(none)" else ranges.split(",")),
        "persistent_keepalive": 0 if keepalive == "off" else int(keepalive),
    }


def _run(namespace, *command, **options):
    with linux.inside(namespace):
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{namespace}: {command}: {done.returncode} {done.stdout}{done.stderr}"
    return done.stdout


def _ask(namespace, device):
    """Three answers of ip(8), that of wg(8), and whether packets are forwarded.  One process for each
    program: under emulation starting them takes longer than all else."""
    shown = _run(namespace, "ip", "-json", "-batch", "-", input=QUESTIONS)
    dump = _run(namespace, "wg", "show", device, "dump")
    with linux.inside(namespace):
        forwarding = [pathlib.Path(name).read_text().strip() for name in FORWARDING]
    return [json.loads(line) for line in shown.splitlines() if line], dump.splitlines(), forwarding


def actual(port, prefix="network-"):
    """The network `port` as it is, in the form of expected()."""
    device = f"wg{port}"
    (links, routes4, routes6), dump, forwarding = _ask(f"{prefix}{port}", device)
    by_name = {link["ifname"]: link for link in links}
    link = by_name[device]
    routes = {*_routes(routes4, 4, device), *_routes(routes6, 6, device)}
    private, _, listen_port, _ = dump[0].split("\t")
    return {
        "links": sorted(by_name),
        "lo_up": "UP" in by_name["lo"]["flags"],
        "forwarding": forwarding,
        "up": "UP" in link["flags"],
        "mtu": link["mtu"],
        "address": sorted(f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"]
                          if ipaddress.ip_address(entry["local"]) not in LINK_LOCAL),
        "routes": sorted(routes),
        "private_key": private,
        "listen_port": int(listen_port),
        "peers": dict(map(_peer, dump[1:])),
    }


def _connected(address):
    """The kernel's own route to the prefix of an address; IPv4 has none for one address alone."""
    interface = ipaddress.ip_interface(address)
    if interface.version == 4 and interface.network.prefixlen == 32:
        return set()
    return {str(interface.network)}


def expected(port, network):
    """The value of `port` in a document; endpoints as they stand in there."""
    ranges = {cidr(text) for peer in network.get("peers", {}).values() for text in peer["allowed_ips"]}
    connected = set().union(*(_connected(address) for address in network["address"]))
    if network.get("mtu", MTU) < 1280:		# there Linux has no IPv6
        ranges = {text for text in ranges if ":" not in text}
    return {
        "links": sorted(["lo", f"wg{port}"]),
        "lo_up": True,
        "forwarding": ["1", "1"],
        "up": True,
        "mtu": network.get("mtu", MTU),
        "address": sorted(str(ipaddress.ip_interface(address)) for address in network["address"]),
        "routes": sorted(ranges | connected),
        "private_key": clamped(network["private_key"]),
        "listen_port": int(port),
        "peers": {key: {
            "preshared_key": peer.get("preshared_key"),
            "endpoint": peer.get("endpoint"),
            "allowed_ips": sorted(cidr(text) for text in peer["allowed_ips"]),
            "persistent_keepalive": peer.get("persistent_keepalive", KEEPALIVE),
        } for key, peer in network.get("peers", {}).items()},
    }


def flags(port, prefix="network-"):
    """Of the network's link."""
    return _ask(f"{prefix}{port}", f"wg{port}")[0][0][-1]["flags"]


def namespaces(prefix="network-"):
    return sorted(path.name for path in pathlib.Path("/run/netns").glob(f"{prefix}*"))


def assert_obeys(document, endpoints=None):
    """The kernel is as `document` says: these namespaces, and in each all is equal.  `endpoints`: (port,
    peer) -> the one that is expected instead of the document's; None: they are not looked at."""
    assert namespaces() == sorted(f"network-{port}" for port in document)
    for port, network in document.items():
        want, have = expected(port, network), actual(port)
        for key, peer in have["peers"].items():
            if endpoints is None:
                del peer["endpoint"]
            if key in want["peers"] and endpoints is None:
                del want["peers"][key]["endpoint"]
            elif key in want["peers"]:
                want["peers"][key]["endpoint"] = endpoints.get((port, key))
        assert have == want, f"network {port}"


def udp_ports():
    """The ports on which this network namespace listens for UDP."""
    found = set()
    for name in ("udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            found.add(int(line.split()[1].rsplit(":", 1)[1], 16))
    return sorted(found)


def accepted(*ports):
    """The inodes of the TCP connections to these ports of this network namespace that are accepted."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            established, port, inode = words[3] == "01", int(words[1].rsplit(":", 1)[1], 16), words[9]
            if established and port in ports and inode != "0":
                found.add(inode)
    return found


def userspace_processes():
    """{name of the interface: [process ids]} of every wireguard-go."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"wireguard-go"):
            found.setdefault(words[-2].decode(), []).append(int(path.parent.name))
    return found


def pinned():
    """The mounts below /run/netns, one entry a mount."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split()[4].removeprefix("/run/netns/") for line in lines
                  if line.split()[4].startswith("/run/netns/"))
