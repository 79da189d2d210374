"""The world around the gateway, in namespaces: a public network (a bridge with 192.0.2.0/24), tenants'
machines on it, each with a WireGuard tunnel to the gateway, and servers on those machines."""

import json
import os
import pathlib
import signal
import socket
import subprocess

from rig.servers import Server
from rig.wait import until

PUBLIC = "192.0.2.1"	# the gateway
PUBLIC6 = "2001:db8::1"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          **options)
    assert done.returncode == 0, f"{command}: {done.returncode} {done.stdout}{done.stderr}"
    return done.stdout


def entering(namespace):
    """The beginning of a command that is to run in there.  Not `ip netns exec` nor `ip -n`: these want a
    "/" that is a mount, which it is not in a chroot."""
    return ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []


def ip(lines, namespace=None):
    """A batch of ip(8) commands."""
    run(*entering(namespace), "ip", "-batch", "-", input="\n".join(lines) + "\n")


def ip_show(*words, namespace=None):
    """What ip(8) shows, as Python values."""
    return json.loads(run(*entering(namespace), "ip", "-json", *words))


def wg(*words, namespace=None, **options):
    return run(*entering(namespace), "wg", *words, **options)


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
    return True


class Key:
    """A pair of keys, made by wg(8)."""

    def __init__(self):
        self.private = run("wg", "genkey").strip()
        self.public = run("wg", "pubkey", input=self.private).strip()


def kernel_has_wireguard():
    done = subprocess.run(["ip", "link", "add", "probe", "type", "wireguard"], capture_output=True,
                          check=False)
    if done.returncode == 0:
        run("ip", "link", "del", "probe")
    return done.returncode == 0


class Host:
    """A machine on the public network, in the namespace NAME."""

    def __init__(self, lab, name, number):
        self.name = name
        self.lab = lab
        self.public = f"192.0.2.{number}"
        self.servers = []
        ip([f"netns add {name}",
            f"link add v{number} type veth peer name public netns {name}",
            f"link set v{number} master bridge up"])
        ip([f"address add {self.public}/24 dev public",
            f"address add 2001:db8::{number:x}/64 dev public nodad",
            "link set public up", "link set lo up",
            f"route add default via {PUBLIC}"], name)

    def run(self, *command, **options):
        return run(*entering(self.name), *command, **options)

    def serve(self, address=None, **options):
        """A server with this machine's name; by default at its address in the tunnel."""
        server = Server(self.name, address or self.address, **options)
        self.servers.append(server)
        return server

    @property
    def address(self):
        return self.public

    def close(self):
        for server in self.servers:
            server.close()


class Machine(Host):
    """A tenant's machine: a host with a tunnel to the gateway."""

    def __init__(self, lab, name, number, tenant, addresses):
        super().__init__(lab, name, number)
        self.tenant = tenant
        self.key = Key()
        self.addresses = addresses
        self.device = f"m{number}"
        self.config = lab.directory / f"{name}.conf"
        self.process = None

    def connect(self):
        """Brings its tunnel up.  The gateway should listen by now: WireGuard tries again after 5 s only."""
        if self.lab.kernel:
            ip([f"link add {self.device} type wireguard"], self.name)
        else:
            self._start_userspace()
        ranges = ", ".join(self.tenant.ranges)
        self.config.write_text(
            f"[Interface]\nPrivateKey = {self.key.private}\n"
            f"[Peer]\nPublicKey = {self.tenant.key.public}\nEndpoint = {PUBLIC}:{self.tenant.port}\n"
            f"AllowedIPs = {ranges}\nPersistentKeepalive = 1\n")
        self.greet()
        ip([f"address add {address} dev {self.device}{' nodad' if ':' in address else ''}"
            for address in self.addresses] + [f"link set {self.device} mtu 1420 up"], self.name)
        return self

    def greet(self):
        """Forgets its session and asks for a new one now: by itself WireGuard waits 15 s for news first."""
        wg("setconf", self.device, self.config, namespace=self.name)

    @property
    def address(self):
        return self.addresses[0].split("/")[0]

    def peer(self, **more):
        """What the document says of it."""
        ranges = [f"{address.split('/')[0]}/{128 if ':' in address else 32}" for address in self.addresses]
        return {"allowed_ips": ranges, **more}

    def _start_userspace(self):
        log = (self.lab.directory / f"{self.name}.log").open("wb")
        self.process = subprocess.Popen([*entering(self.name), "wireguard-go", "-f", self.device],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True)
        log.close()

        def serves():
            # Each one takes an inotify instance, of which a user has 128 by default.
            if self.process.poll() is not None:
                raise RuntimeError((self.lab.directory / f"{self.name}.log").read_text())
            return listens(f"/run/wireguard/{self.device}.sock")
        # wg(8) removes a socket on which nobody listens yet.
        until(serves, f"wireguard-go serves {self.device}")

    def handshake(self):
        """The time of the last one, 0: never."""
        text = wg("show", self.device, "latest-handshakes", namespace=self.name)
        return int(text.split()[1])

    def wait_until_connected(self):
        until(self.handshake, f"{self.name} has a tunnel", 30)
        return self

    def close(self):
        super().close()
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait()


class Tenant:
    """A network of the document."""

    def __init__(self, lab, port, name, addresses=("10.0.0.1/16",)):
        self.lab = lab
        self.port = port
        self.name = name
        self.addresses = list(addresses)
        self.ranges = ["10.0.0.0/16"] + (["fd00:1::/64"] if len(addresses) > 1 else [])
        self.key = Key()
        self.machines = []
        self.proxy = {}

    def machine(self, *addresses):
        number = self.lab.next_number()
        machine = Machine(self.lab, f"{self.name}{number}", number, self, list(addresses or ("10.0.0.2/16",)))
        self.machines.append(machine)
        self.lab.hosts.append(machine)
        return machine

    def network(self, **more):
        """Its value in the document."""
        return {"private_key": self.key.private, "address": self.addresses,
                "peers": {machine.key.public: machine.peer() for machine in self.machines},
                "proxy": self.proxy, **more}


class Lab:
    def __init__(self, directory):
        self.directory = directory
        self.kernel = kernel_has_wireguard()
        self.hosts = []
        self.tenants = []
        self.number = 9
        pathlib.Path("/run/netns").mkdir(exist_ok=True)
        # An address of its own: else it takes the lowest of its ports', and each new machine may change what
        # the others know.
        ip(["link add bridge address 02:00:00:00:00:01 type bridge forward_delay 0",
            f"address add {PUBLIC}/24 dev bridge", f"address add {PUBLIC6}/64 dev bridge nodad",
            "link set bridge up"])

    def next_number(self):
        self.number += 1
        return self.number

    def tenant(self, port, name, **options):
        tenant = Tenant(self, port, name, **options)
        self.tenants.append(tenant)
        return tenant

    def host(self, name):
        """Somebody on the internet."""
        host = Host(self, name, self.next_number())
        self.hosts.append(host)
        return host

    def document(self, *tenants):
        return {str(tenant.port): tenant.network() for tenant in tenants or self.tenants}

    def close(self):
        for host in self.hosts:
            host.close()
