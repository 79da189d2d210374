"""HTTP through the gateway: each request goes where its own Host says."""

import json

import pytest

from rig import kernel
from rig.clients import ask_raw, client_hello, connect, curl, curl_json, curl_status, read_answer, request
from rig.lab import PUBLIC
from rig.linux import socket_in
from rig.wait import SLOW, until


def test_every_request_of_a_kept_connection_is_routed_by_its_own_host(pair):
    with connect(80) as connection:
        stream = connection.makefile("rb")
        for tenant in (pair.alpha, pair.beta, pair.beta, pair.alpha):
            connection.sendall(request(tenant.host))
            status, _, body = read_answer(stream)
            assert status == 200 and json.loads(body)["server"] == tenant.name


def test_requests_sent_together_are_answered_in_order(pair):
    with connect(80) as connection:
        order = [pair.alpha, pair.beta] * 5
        connection.sendall(b"".join(request(tenant.host) for tenant in order))
        stream = connection.makefile("rb")
        for tenant in order:
            assert json.loads(read_answer(stream)[2])["server"] == tenant.name


def test_forwarded_fields_are_the_gateways_own(pair):
    stranger = pair.lab.host("stranger")
    lies = ["-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Real-IP: 6.6.6.6", "-H", "X-Forwarded-Proto: https",
            "-H", "X-Forwarded-Host: evil.example", "-H", "Connection: close, X-Secret",
            "-H", "X-Secret: hop", "-H", "Keep-Alive: 5", "-H", "Proxy-Authorization: x"]
    headers = curl_json(f"http://{pair.alpha.host}/", *lies, namespace=stranger.name)["headers"]
    found = {name.lower(): value for name, value in headers.items()}
    assert found["x-forwarded-for"] == stranger.public
    assert found["x-real-ip"] == stranger.public
    assert found["x-forwarded-proto"] == "http"
    assert found["x-forwarded-host"] == pair.alpha.host
    assert found["host"] == pair.alpha.host
    for hop in ("x-secret", "keep-alive", "proxy-authorization"):
        assert hop not in found


@pytest.mark.parametrize("status,data", [
    (400, b"GET / HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: git.alpha.example\r\nHost: git.beta.example\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost : git.alpha.example\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: git.alpha.example\r\n folded\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: git.alpha.example/x\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: git.alpha.example\0.evil.example\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: git.alpha.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
    (400, b"POST / HTTP/1.1\r\nHost: git.alpha.example\r\nContent-Length: +1\r\n\r\nx"),
    (400, b"POST / HTTP/1.1\r\nHost: git.alpha.example\r\nContent-Length: 3\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    (404, b"GET / HTTP/1.1\r\nHost: nobody.example\r\nConnection: close\r\n\r\n"),
    (405, b"CONNECT git.alpha.example:443 HTTP/1.1\r\nHost: git.alpha.example:443\r\n\r\n"),
    (414, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: git.alpha.example\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\nHost: git.alpha.example\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
], ids=str)
def test_what_is_malformed_or_unknown_is_refused_and_never_forwarded(pair, status, data):
    answer = ask_raw(80, data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert pair.alpha.server.requests == [] and pair.beta.server.requests == []


def test_bodies_stream_both_ways(pair, directory):
    upload = directory / "upload"
    upload.write_bytes(bytes(5_000_000))
    answer = curl_json(f"http://{pair.alpha.host}/up", "--data-binary", f"@{upload}")
    assert answer["method"] == "POST" and answer["body_bytes"] == 5_000_000
    assert len(curl(f"http://{pair.alpha.host}/bytes/5000000")) == 5_000_000


def test_a_body_waits_for_100_continue(pair, directory):
    upload = directory / "upload"
    upload.write_bytes(bytes(100_000))
    answer = curl_json(f"http://{pair.alpha.host}/up", "-H", "Expect: 100-continue", "-T", str(upload))
    assert answer["method"] == "PUT" and answer["body_bytes"] == 100_000


def test_head_and_http_1_0_are_answered_as_they_should(pair):
    with connect(80) as connection:
        stream = connection.makefile("rb")
        connection.sendall(request(pair.alpha.host, method="HEAD") + request(pair.beta.host))
        status, headers, _ = read_answer(stream, "HEAD")
        assert status == 200 and int(headers["content-length"]) > 0
        assert json.loads(read_answer(stream)[2])["server"] == "beta"
    answer = ask_raw(80, f"GET / HTTP/1.0\r\nHost: {pair.alpha.host}\r\n\r\n".encode())
    assert b" 200 " in answer.splitlines()[0] and b'"server": "alpha"' in answer


def test_a_host_with_port_and_capitals_is_the_same_host(pair):
    for host in ("GIT.alpha.EXAMPLE", "git.alpha.example:80", "git.alpha.example."):
        answer = ask_raw(80, request(host, more="Connection: close\r\n"))
        assert b'"server": "alpha"' in answer, host


def test_an_upgraded_connection_is_a_tunnel(pair):
    listener = socket_in(pair.alpha.only.name)
    listener.bind(("10.0.0.2", 7000))
    listener.listen()
    listener.settimeout(20 * SLOW)
    pair.alpha.proxy["http://ws.alpha.example"] = ["10.0.0.2:7000"]
    pair.daemon.api.applied(pair.lab.document())
    with connect(80) as client:
        client.sendall(request("ws.alpha.example", more="Connection: Upgrade\r\nUpgrade: echo\r\n"))
        upstream, _ = listener.accept()
        upstream.settimeout(20 * SLOW)
        head = b""
        while b"\r\n\r\n" not in head:
            head += upstream.recv(65536)
        assert b"upgrade: echo" in head.lower()
        upstream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
                         b"hello")
        answer = b""
        while not answer.endswith(b"hello"):
            part = client.recv(65536)
            assert part, answer
            answer += part
        assert answer.startswith(b"HTTP/1.1 101 ")
        client.sendall(b"\0\xff raw bytes")
        assert upstream.recv(100) == b"\0\xff raw bytes"
        upstream.close()
        assert client.recv(100) == b""
    listener.close()


def test_redirect_to_https_spares_the_acme_challenge(pair):
    host = "go.alpha.example"
    pair.alpha.proxy[f"http://{host}"] = {"upstreams": ["10.0.0.2:80"], "redirect_to_https": True}
    pair.daemon.api.applied(pair.lab.document())
    answer = ask_raw(80, request(host, "/a?b=c", "Connection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 308 ")
    assert f"location: https://{host}/a?b=c\r\n".encode() in answer.lower()
    assert curl_json(f"http://{host}/.well-known/acme-challenge/token")["server"] == "alpha"


def test_the_upstream_sees_the_host_header_of_the_document(pair):
    pair.alpha.proxy["http://pub.alpha.example"] = {"upstreams": ["10.0.0.2:80"],
                                                    "host_header": "inner.local"}
    pair.daemon.api.applied(pair.lab.document())
    headers = curl_json("http://pub.alpha.example/")["headers"]
    assert headers["Host"] == "inner.local"
    assert {name.lower(): value for name, value in headers.items()}["x-forwarded-host"] == "pub.alpha.example"


def test_a_dead_upstream_is_a_502(pair):
    pair.alpha.server.close()
    assert curl_status(f"http://{pair.alpha.host}/") == 502
    assert curl_status(f"http://{pair.beta.host}/") == 200


def test_an_upstream_that_does_not_answer_is_a_504(pair):
    """Nobody has that address: what is sent there is lost."""
    pair.alpha.proxy["http://away.alpha.example"] = ["10.0.0.99:80"]
    pair.daemon.api.applied(pair.lab.document())
    assert curl_status("http://away.alpha.example/") == 504


def test_max_connections_answers_503(pair):
    pair.alpha.proxy[f"http://{pair.alpha.host}"] = {"upstreams": ["10.0.0.2:80"], "max_connections": 1}
    pair.daemon.api.applied(pair.lab.document())
    with connect(80) as first:
        first.sendall(request(pair.alpha.host, "/pieces/2"))
        pair.alpha.server.pace.release(1)
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert curl_status(f"http://{pair.alpha.host}/") == 503
        pair.alpha.server.pace.release(1)


@pytest.fixture
def listener(pair):
    """On alpha's machine behind raw.alpha.example, to see what the gateway sends byte by byte."""
    listener = socket_in(pair.alpha.only.name)
    listener.bind(("10.0.0.2", 7000))
    listener.listen()
    listener.settimeout(20 * SLOW)
    pair.alpha.proxy["http://raw.alpha.example"] = ["10.0.0.2:7000"]
    pair.daemon.api.applied(pair.lab.document())
    yield listener
    listener.close()


def accepted(listener):
    upstream, _ = listener.accept()
    upstream.settimeout(20 * SLOW)
    return upstream, upstream.makefile("rb")


def lines(stream):
    """Up to the next empty line."""
    found = []
    while line := stream.readline().strip():
        found.append(line)
    return found


def test_chunks_and_their_trailer_pass_both_ways(listener):
    body = b"4\r\nfour\r\n0\r\nSum: 4\r\n\r\n"
    more = "Transfer-Encoding: chunked\r\nTrailer: Sum\r\n"
    with connect(80) as client:
        client.sendall(request("raw.alpha.example", "/", more, "POST") + body)
        upstream, stream = accepted(listener)
        assert b"Transfer-Encoding: chunked" in lines(stream)
        assert stream.read(len(body)) == body
        upstream.sendall(b"HTTP/1.1 200 OK\r\n" + more.encode() + b"\r\n" + body)
        answer = client.makefile("rb")
        assert b"Transfer-Encoding: chunked" in lines(answer)
        assert answer.read(len(body)) == body
        upstream.close()


def test_a_proxy_protocol_line_goes_before_the_requests_of_one_client(pair, listener):
    pair.alpha.proxy["http://raw.alpha.example"] = {"upstreams": ["10.0.0.2:7000"], "proxy_protocol": "v1"}
    pair.daemon.api.applied(pair.lab.document())
    for stranger in (pair.lab.host("stranger"), pair.lab.host("other")):
        with connect(80, namespace=stranger.name) as client:
            client.sendall(request("raw.alpha.example"))
            upstream, stream = accepted(listener)
            line = f"PROXY TCP4 {stranger.public} {PUBLIC} {client.getsockname()[1]} 80\r\n".encode()
            assert stream.readline() == line
            for _ in range(2):	# of the same client: over the same connection, told once
                assert lines(stream)[0] == b"GET / HTTP/1.1"
                upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                assert read_answer(client.makefile("rb"))[0] == 200
                client.sendall(request("raw.alpha.example"))


def test_connections_of_one_source_are_limited(lab, daemon):
    daemon.options["--workers"] = "1"
    daemon.options["--source-connections"] = "4"
    lab.tenant(51820, "alpha")
    daemon.start(lab.document())
    stranger, other = lab.host("stranger"), lab.host("other")
    held = [connect(port, namespace=stranger.name) for port in (80, 80, 443, 443)]
    until(lambda: len(kernel.accepted(80, 443)) == len(held), "all are accepted, by two listeners")
    # Told without being asked, and a client that asks first reads it too.
    with connect(80, namespace=stranger.name) as client:
        answer = client.makefile("rb")
        assert read_answer(answer)[0] == 503 and answer.read() == b""
    assert curl_status("http://x.example/", namespace=stranger.name) == 503
    internal_error = b"\x15\x03\x03\x00\x02\x02\x50"	# RFC 8446 6
    assert ask_raw(443, client_hello("x.example"), namespace=stranger.name) == internal_error
    assert curl_status("http://x.example/", namespace=other.name) == 404
    for connection in held:
        connection.close()
    until(lambda: curl_status("http://x.example/", namespace=stranger.name) == 404, "there is room again")
