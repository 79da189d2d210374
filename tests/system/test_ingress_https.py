"""HTTPS through the gateway: relayed untouched, refused with the right alert."""

import os
import random
import socket
import struct
import subprocess
import time

import pytest

from rig.clients import ask_raw, client_hello, connect, curl, curl_json, read_all, read_exactly
from rig.lab import PUBLIC, PUBLIC6
from rig.linux import socket_in
from rig.servers import Server, make_certificate
from rig.wait import SLOW, until

# RFC 8446 6.2
DECODE_ERROR = 50
INTERNAL_ERROR = 80
UNRECOGNIZED_NAME = 112


def alert(data):
    """The number of the fatal alert that is all there is in `data`."""
    assert len(data) == 7 and data[:2] == b"\x15\x03" and data[3:6] == b"\x00\x02\x02", data
    return data[6]


@pytest.fixture
def raw(pair):
    """A listener on alpha's machine behind raw.alpha.example, to see what the gateway does byte by byte."""
    listener = socket_in(pair.alpha.only.name)
    listener.bind(("10.0.0.2", 9443))
    listener.listen(128)
    listener.settimeout(20 * SLOW)
    pair.alpha.proxy["https://raw.alpha.example"] = ["10.0.0.2:9443"]
    pair.daemon.api.applied(pair.lab.document())
    yield listener
    listener.close()


def relayed(raw, hello=None):
    """A client connection that has reached the upstream: (client, upstream)."""
    hello = hello or client_hello("raw.alpha.example")
    client = connect(443)
    client.sendall(hello)
    upstream, _ = raw.accept()
    upstream.settimeout(20 * SLOW)
    assert read_exactly(upstream, len(hello)) == hello
    return client, upstream


def test_bytes_pass_untouched_both_ways(raw):
    client, upstream = relayed(raw)
    up, down = os.urandom(700_000), os.urandom(900_000)

    def exchange(source, target, data):
        source.setblocking(False)
        sent, seen = 0, b""
        deadline = time.monotonic() + 30 * SLOW
        while len(seen) < len(data) and time.monotonic() < deadline:
            try:
                if sent < len(data):
                    sent += source.send(data[sent:sent + 50_000])
            except BlockingIOError:
                pass
            target.setblocking(False)
            try:
                seen += target.recv(65536)
            except BlockingIOError:
                pass
        assert seen == data
    exchange(client, upstream, up)
    exchange(upstream, client, down)
    client.close()
    upstream.close()


def test_a_half_close_passes_and_the_other_way_stays_open(raw):
    client, upstream = relayed(raw)
    client.shutdown(socket.SHUT_WR)
    assert upstream.recv(100) == b""
    upstream.sendall(b"after the half-close")
    upstream.close()
    assert read_all(client) == b"after the half-close"
    client.close()

    client, upstream = relayed(raw)
    upstream.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b""
    client.sendall(b"still here")
    client.close()
    assert read_all(upstream) == b"still here"
    upstream.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_reset_of_one_side_resets_the_other(raw):
    client, upstream = relayed(raw)
    reset(upstream)
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    client.close()
    client, upstream = relayed(raw)
    reset(client)
    with pytest.raises(ConnectionResetError):
        upstream.recv(100)
    upstream.close()


def test_a_hello_may_come_byte_by_byte(raw):
    hello = client_hello("raw.alpha.example")
    client = connect(443)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(hello)):
        client.sendall(hello[at:at + 1])
    upstream, _ = raw.accept()
    upstream.settimeout(20 * SLOW)
    assert read_exactly(upstream, len(hello)) == hello
    client.close()
    upstream.close()


def test_a_hello_may_be_split_over_records(raw):
    hello = client_hello("raw.alpha.example")
    body = hello[5:]
    for size in (1, 7, 100):
        split = b"".join(hello[:3] + struct.pack("!H", len(body[at:at + size])) + body[at:at + size]
                         for at in range(0, len(body), size))
        client, upstream = relayed(raw, split)
        client.close()
        upstream.close()


def test_openssl_reaches_the_tenants_own_certificate(pair):
    for tenant in pair.tenants:
        done = subprocess.run(["openssl", "s_client", "-connect", f"{PUBLIC}:443", "-servername", tenant.host,
                               "-verify_return_error", "-CAfile", tenant.certificate, "-verify_hostname",
                               tenant.host],
                              input="", capture_output=True, text=True, timeout=30 * SLOW, check=False)
        assert done.returncode == 0, done.stderr
        assert f"CN = {tenant.name}" in done.stdout


def test_unknown_and_missing_names_get_the_alert_unrecognized_name(pair):
    for name in ("nobody.example", "alpha.example", "git.alpha.example.evil.example", None):
        hello = client_hello(name)
        assert alert(ask_raw(443, hello)) == UNRECOGNIZED_NAME, name
    assert pair.daemon.whole()


def test_what_is_no_tls_gets_the_alert_decode_error(pair):
    assert alert(ask_raw(443, b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")) == DECODE_ERROR
    assert alert(ask_raw(443, b"SSH-2.0-OpenSSH_9.2\r\n")) == DECODE_ERROR
    assert ask_raw(443, b"GET / HTTP/1.1\r\nHost: git.alpha.example\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert pair.daemon.whole()


@pytest.mark.asan
def test_random_hellos_do_no_harm(pair):
    """Whole garbage, and true hellos with some bytes changed."""
    dice = random.Random(int(os.environ.get("TOLLGATE_TEST_SEED", "7")))
    workers = pair.daemon.roles()["worker"]
    good = client_hello(pair.alpha.host)
    for number in range(300):
        if number % 3 == 0:
            data = dice.randbytes(dice.randrange(1, 600))
        else:
            changed = bytearray(good)
            for _ in range(dice.randrange(1, 6)):
                changed[dice.randrange(len(changed))] = dice.randrange(256)
            data = bytes(changed[:dice.randrange(1, len(changed) + 1)])
        with connect(443) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            read_all(client)
    assert pair.daemon.roles()["worker"] == workers
    pair.wait_until_whole()


def test_a_hello_over_16_kib_is_refused(pair):
    record = b"\x16\x03\x01" + struct.pack("!H", 16384) + b"\x01\x00\xff\xff" + b"\x03\x03" + bytes(16378)
    assert alert(ask_raw(443, record + record)) == DECODE_ERROR
    assert pair.daemon.whole()


def test_no_reachable_upstream_gets_the_alert_internal_error(pair):
    pair.alpha.server.close()
    assert alert(ask_raw(443, client_hello(pair.alpha.host))) == INTERNAL_ERROR
    assert pair.answers(pair.beta)


def test_a_client_of_one_byte_a_second_is_cut_off_while_others_are_served(pair):
    """The hello may last 10 s, whatever trickles in."""
    slow = connect(443, timeout=60)
    plain = connect(80, timeout=60)
    hello = client_hello(pair.alpha.host)
    head = f"GET / HTTP/1.1\r\nHost: {pair.alpha.host}\r\n".encode() + b"X: y\r\n" * 100
    ended = {}
    deadline = time.monotonic() + 30 * SLOW
    for at in range(len(hello)):
        for name, connection, data in (("https", slow, hello), ("http", plain, head)):
            if name in ended:
                continue
            try:
                connection.sendall(data[at:at + 1])
                connection.settimeout(0.5)
                ended[name] = connection.recv(1000)
            except TimeoutError:
                pass
            except OSError:
                ended[name] = b""
        if len(ended) == 2:
            break
        assert time.monotonic() < deadline, "still there"
        if at == 2:
            assert pair.answers(pair.alpha)
    assert ended["http"] == b"" or ended["http"].startswith(b"HTTP/1.1 408 ")
    slow.close()
    plain.close()


def test_the_next_upstream_is_taken_when_one_refuses(pair):
    alpha = pair.alpha
    alpha.proxy[f"https://{alpha.host}"] = ["10.0.0.2:4444", "10.0.0.2:443"]
    alpha.proxy[f"http://{alpha.host}"] = ["10.0.0.2:4444", "10.0.0.2:80"]
    pair.daemon.api.applied(pair.lab.document())
    for _ in range(6):
        assert pair.answers(alpha)


def test_upstreams_are_taken_in_turn(pair):
    alpha = pair.alpha
    names = ("one", "two", "three")
    for at, name in enumerate(names):
        alpha.only.serve(http_port=None, https_port=8000 + at, certificate=alpha.certificate, name=name)
    alpha.proxy[f"https://{alpha.host}"] = [f"10.0.0.2:{8000 + at}" for at in range(3)]
    pair.daemon.api.applied(pair.lab.document())
    seen = [curl_json(f"https://{alpha.host}/", certificate=alpha.certificate)["server"] for _ in range(24)]
    # Each worker has its own turn.
    assert all(seen.count(name) >= 4 for name in names), seen


def test_ipv6_clients_are_served_on_the_same_listeners(pair):
    for scheme in ("http", "https"):
        answer = curl_json(f"{scheme}://{pair.alpha.host}/", gateway=f"[{PUBLIC6}]",
                           certificate=pair.alpha.certificate)
        assert answer["server"] == "alpha"


def test_max_connections_of_a_host_holds_over_all_workers(pair, raw):
    pair.alpha.proxy["https://raw.alpha.example"] = {"upstreams": ["10.0.0.2:9443"], "max_connections": 3}
    pair.daemon.api.applied(pair.lab.document())
    hello = client_hello("raw.alpha.example")
    held = [relayed(raw, hello) for _ in range(3)]
    assert alert(ask_raw(443, hello)) == INTERNAL_ERROR
    for connection in held.pop():
        connection.close()

    def free():
        client = connect(443)
        client.sendall(hello)
        raw.settimeout(0.3)
        try:
            upstream, _ = raw.accept()
        except TimeoutError:
            return False
        upstream.close()
        client.close()
        return True
    until(free, "one place is free again")
    for client, upstream in held:
        client.close()
        upstream.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_upstream_learns_the_clients_address_by_proxy_protocol(pair, raw, version):
    pair.alpha.proxy["https://raw.alpha.example"] = {"upstreams": ["10.0.0.2:9443"],
                                                     "proxy_protocol": version}
    pair.daemon.api.applied(pair.lab.document())
    stranger = pair.lab.host("stranger")
    hello = client_hello("raw.alpha.example")
    client = connect(443, namespace=stranger.name)
    port = client.getsockname()[1]
    client.sendall(hello)
    upstream, _ = raw.accept()
    upstream.settimeout(20 * SLOW)
    if version == "v1":
        head = f"PROXY TCP4 {stranger.public} {PUBLIC} {port} 443\r\n".encode()
    else:
        head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton(stranger.public) + \
            socket.inet_aton(PUBLIC) + struct.pack("!HH", port, 443)
    assert read_exactly(upstream, len(head) + len(hello)) == head + hello
    client.close()
    upstream.close()


def test_a_forwarded_host_of_the_operator_is_reached_in_the_hosts_namespace(lab, daemon, directory):
    certificate = make_certificate(directory, "panel", "panel.example.com")
    Server(None, "127.0.0.1", name="panel", http_port=8080, https_port=8443, certificate=certificate)
    daemon.extra = ["--forward", "https://panel.example.com=127.0.0.1:8443",
                    "--forward", "http://panel.example.com=127.0.0.1:8080"]
    tenant = lab.tenant(51820, "alpha")
    daemon.start(lab.document())
    for scheme in ("http", "https"):
        assert curl_json(f"{scheme}://panel.example.com/", certificate=certificate)["server"] == "panel"
    tenant.proxy["http://panel.example.com"] = ["10.0.0.2:80"]
    answer = daemon.api.apply(lab.document())
    assert answer.status == 400, answer
    assert [detail["path"] for detail in answer.json["error"]["details"]] == [
        "/51820/proxy/http:~1~1panel.example.com"]
    assert curl("http://panel.example.com/").count(b"panel") >= 1
