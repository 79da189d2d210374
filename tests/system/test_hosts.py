"""A host that is changed or removed: what becomes of the connections that began before."""

import contextlib
import socket

import pytest

from rig.clients import client_hello, connect, read_answer, read_exactly, request
from rig.linux import socket_in
from rig.wait import SLOW

HOST = "raw.alpha.example"
UPGRADE = "Connection: upgrade\r\nUpgrade: echo\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Raw:
    """The host on alpha's machine, as listeners that show and say every byte."""

    def __init__(self, pair):
        self.pair = pair
        self.proxy = pair.alpha.proxy
        self.listeners = {port: self._listen(port) for port in (7080, 7443, 8080)}
        self.route(7080, 7443)

    def _listen(self, port):
        listener = socket_in(self.pair.alpha.only.name)
        listener.bind(("10.0.0.2", port))
        listener.listen()
        listener.settimeout(20 * SLOW)
        return listener

    def route(self, http, https):
        self.proxy[f"http://{HOST}"] = [f"10.0.0.2:{http}"]
        self.proxy[f"https://{HOST}"] = [f"10.0.0.2:{https}"]
        self.apply()

    def remove(self, *schemes):
        for scheme in schemes:
            del self.proxy[f"{scheme}://{HOST}"]
        self.apply()

    def apply(self):
        self.pair.daemon.api.applied(self.pair.lab.document())

    def accept(self, port):
        upstream, _ = self.listeners[port].accept()
        upstream.settimeout(20 * SLOW)
        return upstream

    def https(self):
        """(client, upstream) with the hello read."""
        hello = client_hello(HOST)
        client = connect(443)
        client.sendall(hello)
        upstream = self.accept(7443)
        assert read_exactly(upstream, len(hello)) == hello
        return client, upstream

    def http(self, more="", port=7080):
        """(client, upstream) with the request read."""
        client = connect(80)
        client.sendall(request(HOST, more=more))
        upstream = self.accept(port)
        stream = upstream.makefile("rb")
        while stream.readline().strip():
            pass
        return client, upstream

    def upgraded(self):
        client, upstream = self.http(UPGRADE)
        upstream.sendall(SWITCHED)
        stream = client.makefile("rb")
        while stream.readline().strip():
            pass
        return client, upstream

    def kept(self):
        """An idle client connection, of which one request was answered."""
        client, upstream = self.http()
        upstream.sendall(WHOLE)
        assert read_exactly(client, len(WHOLE)) == WHOLE
        return client, upstream

    def downloading(self):
        client, upstream = self.http()
        upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        stream = client.makefile("rb")
        while stream.readline().strip():
            pass
        assert stream.read(4) == b"half"
        return client, upstream

    def close(self):
        for listener in self.listeners.values():
            listener.close()


@pytest.fixture
def raw(pair):
    with contextlib.closing(Raw(pair)) as raw:
        yield raw


def lives(client, upstream):
    upstream.sendall(b"down")
    assert read_exactly(client, 4) == b"down"
    client.sendall(b"up")
    assert read_exactly(upstream, 2) == b"up"


def is_reset(*connections):
    for connection in connections:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_connections_of_a_changed_host_live_on_as_they_began(raw):
    https, upgraded, download, waiting, kept = (raw.https(), raw.upgraded(), raw.downloading(), raw.http(),
                                                raw.kept())
    raw.route(8080, 9)
    lives(*https)
    lives(*upgraded)
    download[1].sendall(b"rest")
    assert read_exactly(download[0], 4) == b"rest"
    waiting[1].sendall(WHOLE)
    assert read_answer(waiting[0].makefile("rb"))[0] == 200
    # The next request of a kept connection goes where the host is now.
    kept[0].sendall(request(HOST))
    raw.accept(8080).sendall(WHOLE)
    assert read_answer(kept[0].makefile("rb"))[0] == 200


def test_connections_of_a_removed_host_are_reset(raw):
    before = [raw.https(), raw.upgraded(), raw.downloading(), raw.http()]
    raw.route(7080, 9)
    raw.route(7080, 7443)
    pairs = before + [raw.https(), raw.upgraded(), raw.downloading(), raw.http()]
    raw.remove("http", "https")
    for pair in pairs:
        is_reset(*pair)
    with socket.create_connection(("127.0.0.1", 80), timeout=20 * SLOW) as client:
        client.sendall(request(HOST))
        assert read_answer(client.makefile("rb"))[0] == 404


def test_what_is_removed_of_one_scheme_leaves_the_other(raw):
    https, upgraded = raw.https(), raw.upgraded()
    raw.remove("http")
    is_reset(*upgraded)
    lives(*https)


def test_connections_of_a_host_that_moves_to_another_network_are_reset(raw):
    https, download = raw.https(), raw.downloading()
    raw.pair.beta.proxy[f"https://{HOST}"] = raw.proxy.pop(f"https://{HOST}")
    raw.pair.beta.proxy[f"http://{HOST}"] = raw.proxy.pop(f"http://{HOST}")
    raw.apply()
    is_reset(*https, *download)
