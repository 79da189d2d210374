"""Tenants with the same addresses and host patterns come and go under load: no byte goes astray."""

import http.client
import json
import random
import ssl
import threading
import time

import pytest

from rig.clients import connect
from rig.lab import PUBLIC
from rig.servers import make_certificate
from rig.wait import SLOW, until

pytestmark = pytest.mark.kernel

SECONDS = 12
PORTS = (51820, 51821, 51822)


class Client(threading.Thread):
    """Asks one host again and again.  An answer must be its owner's; none at all is fine while hosts come
    and go."""

    def __init__(self, host, certificates, owner, stop):
        super().__init__()
        self.host = host
        self.owner = owner		# returns [the names that may answer] of each moment up to now
        self.stop = stop
        self.answers = 0
        self.astray = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for certificate in certificates:
            self.context.load_verify_locations(certificate)

    def ask(self, connection):
        for _ in range(3):
            began = len(self.owner(self.host)) - 1
            connection.putrequest("GET", "/", skip_host=True)
            connection.putheader("Host", self.host)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                continue
            server = json.loads(body)["server"]
            self.answers += 1
            if server not in set().union(*self.owner(self.host)[began:]):
                self.astray.append((self.host, server))

    def run(self):
        turn = 0
        while not self.stop.is_set():
            turn += 1
            try:
                raw = connect(443 if turn % 2 else 80, timeout=5)
                with raw:
                    connection = http.client.HTTPConnection(PUBLIC)
                    connection.sock = raw
                    if turn % 2:
                        connection.sock = self.context.wrap_socket(raw, server_hostname=self.host)
                    self.ask(connection)
                    connection.sock.close()
            except ssl.SSLCertVerificationError as error:
                self.astray.append((self.host, str(error)))
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)	# the host is away just now


def test_no_byte_reaches_another_tenant_while_tenants_are_made_and_removed(lab, daemon, directory):
    """Every network has 10.0.0.1/16 and its machine 10.0.0.2.  Names `fixed.NAME.example` are always the
    same tenant's; `shared.example` and `*.shared.example` belong to whoever has them this moment."""
    tenants = [lab.tenant(port, name) for port, name in zip(PORTS, ("alpha", "beta", "gamma"))]
    shared = ("shared.example", "any.shared.example")
    certificates = []
    for tenant in tenants:
        tenant.only = tenant.machine("10.0.0.2/16")
        tenant.fixed = f"fixed.{tenant.name}.example"
        certificates.append(make_certificate(directory, tenant.name, tenant.fixed, *shared))

    def document(present, sharer):
        for tenant in tenants:
            tenant.proxy = {}
            names = [tenant.fixed] + (["shared.example", "*.shared.example"] if tenant is sharer else [])
            for name in names:
                tenant.proxy[f"http://{name}"] = ["10.0.0.2:80"]
                tenant.proxy[f"https://{name}"] = ["10.0.0.2:443"]
        return lab.document(*present) if present else {}

    daemon.start(document(tenants, tenants[0]))
    for tenant in tenants:
        tenant.only.connect()
    for tenant, certificate in zip(tenants, certificates):
        tenant.only.wait_until_connected()
        tenant.only.serve(certificate=certificate, name=tenant.name)

    # Of each moment, as a request may last for several.
    owners = [{"alpha"}]

    def owner(host):
        return owners if host in shared else [{host.split(".")[1]}]

    stop = threading.Event()
    clients = [Client(host, certificates, owner, stop)
               for host in [tenant.fixed for tenant in tenants] + list(shared)]
    for client in clients:
        client.start()
    dice = random.Random(11)
    applies = 0
    try:
        deadline = time.monotonic() + SECONDS * min(SLOW, 3)
        while time.monotonic() < deadline or applies < 4:
            present = [tenant for tenant in tenants if dice.random() < 0.75]
            sharer = dice.choice(present) if present else None
            # While an apply runs, the old owner and the new one may both answer; then the new one alone.
            now = {sharer.name} if sharer else set()
            owners.append(owners[-1] | now)
            daemon.api.applied(document(present, sharer))
            owners.append(now)
            applies += 1
            # Let tunnels come up now and then, else hardly anything is ever answered.
            if applies % 4 == 0:
                daemon.api.applied(document(tenants, sharer))
                for tenant in tenants:
                    tenant.only.greet()
                before = [client.answers for client in clients]
                until(lambda: all(client.answers > count for client, count in zip(clients, before)
                                  if owner(client.host)[-1]), "every host answers", 60)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert [astray for client in clients for astray in client.astray] == []
    daemon.api.applied(document(tenants, tenants[1]))
    assert all(daemon.api.network(port)["state"] == "up" for port in PORTS)
