"""The API as HTTP: tokens, scopes, methods, kept connections, limits."""

import concurrent.futures
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.request
import warnings

import pytest

from rig.api import Api
from rig.clients import read_all, read_answer
from rig.daemon import status_of
from rig.documents import NETWORK, ONE
from rig.servers import make_certificate
from rig.wait import SLOW, until

ADMIN, READ = "admin-token-0123456789", "read-token-0123456789"
TCP = ("127.0.0.1", 8000)


@pytest.fixture
def api(daemon, directory):
    """A daemon with the API on TCP too; the admin's client."""
    tokens = directory / "tokens"
    tokens.write_text(f"{ADMIN}\nread {READ}\n")
    daemon.options.update({"--api": "127.0.0.1:8000", "--token-file": tokens})
    daemon.start()
    return Api(TCP, ADMIN, timeout=30 * SLOW)


def raw(data, timeout=30):
    """What comes back for those bytes, until the daemon closes."""
    with socket.create_connection(TCP, timeout=timeout * SLOW) as connection:
        connection.sendall(data)
        return read_all(connection)


def test_without_a_token_only_health_answers(api):
    stranger = Api(TCP)
    assert stranger.get("/health").status in (200, 503)
    for method, path in (("GET", "/config"), ("POST", "/apply"), ("GET", "/traffic"), ("GET", "/networks"),
                         ("GET", "/nowhere"), ("DELETE", "/config")):
        answer = stranger.request(method, path, {} if method == "POST" else None)
        assert answer.status == 401 and answer.json["error"]["code"] == "UNAUTHENTICATED", (method, path)
    wrong = Api(TCP, ADMIN[:-1])
    assert wrong.get("/config").status == 401
    assert Api(TCP, ADMIN + "x").get("/config").status == 401


def test_both_token_headers_work(api):
    for name, value in (("Authorization", f"Bearer {ADMIN}"), ("authorization", f"bearer {ADMIN}"),
                        ("Token", ADMIN)):
        headers = {name: value}
        assert Api(TCP).get("/config", headers=headers).status in (200, 404, 503), headers
        assert Api(TCP).get("/networks", headers=headers).status == 200, headers


def test_a_read_token_reads_without_keys_and_writes_nothing(api):
    api.applied(ONE)
    reader = Api(TCP, READ)
    config = reader.config()
    assert config["51820"]["private_key"] is None
    assert NETWORK["private_key"] not in reader.get("/networks").body.decode()
    for method, path in (("POST", "/apply"), ("POST", "/config"), ("PATCH", "/config"),
                         ("POST", "/apply?dry_run=true")):
        answer = reader.request(method, path, {})
        assert answer.status == 403 and answer.json["error"]["code"] == "FORBIDDEN"
    assert api.config()["51820"]["private_key"] == NETWORK["private_key"]


def test_paths_and_methods_that_are_none_of_ours(api):
    answer = api.get("/nowhere")
    assert answer.status == 404 and answer.json["error"]["code"] == "NOT_FOUND"
    for method, path, allowed in (("DELETE", "/config", {"GET", "HEAD", "POST", "PATCH"}),
                                  ("GET", "/apply", {"POST"}), ("POST", "/traffic", {"GET", "HEAD"}),
                                  ("PUT", "/networks", {"GET", "HEAD"})):
        answer = api.request(method, path)
        assert answer.status == 405 and answer.json["error"]["code"] == "METHOD_NOT_ALLOWED"
        assert {word.strip() for word in answer.headers["Allow"].split(",")} >= allowed
    assert api.get("/networks/51820").status == 404
    assert api.get("/networks/0").status in (400, 404)
    assert api.get("/traffic?since=yesterday").status == 400
    assert api.get("/traffic?since=-1").status == 400
    assert api.get("/traffic?resolution=week").status == 400
    assert api.apply({}, "?dry_run=perhaps").status == 400
    assert api.get("/traffic?network=7").status == 404
    for query in ("network=seven", "since=7&since=7", "until=-1", "colour=red"):
        error = api.get(f"/traffic?{query}").json["error"]
        assert (error["code"], error["message"]) == ("BAD_REQUEST", "bad query")
        assert [detail["path"] for detail in error["details"]] == [query.split("=")[0]]


def test_aliases_answer_as_what_they_stand_for(api):
    api.applied(ONE)
    assert api.get("/config.json").body == api.get("/config").body
    assert api.get("/status.json").json.keys() == api.get("/networks").json.keys()
    assert api.get("/traffic.json").status == 200
    assert api.request("POST", "/config", ONE).json["networks"]["unchanged"] == 1
    assert api.get("/traffic?start=0").status == 200


def test_metrics_are_prometheus_text_at_the_root_too(api):
    api.applied({"51820": {**NETWORK, "name": 'a "name"'}})
    label = r'[a-z]+="(?:[^"\\\n]|\\.)*"'
    line = re.compile(rf"([a-z_]+)(\{{{label}(?:,{label})*\}})? [0-9.e+-]+")

    def samples(url):
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Token": ADMIN})) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        kinds = set(re.findall(r"^# TYPE ([a-z_]+) (?:counter|gauge)$", text, re.M))
        found = [line.fullmatch(one) for one in text.splitlines() if not one.startswith("#")]
        assert all(found) and {one[1] for one in found} <= kinds, text
        return {one[0].rpartition(" ")[0] for one in found}

    named = 'tollgate_network_sent_bytes_total{network="51820",name="a \\"name\\""}'
    until(lambda: named in samples("http://127.0.0.1:8000/metrics"), "the network is looked at")
    names = samples("http://127.0.0.1:8000/metrics")
    assert names == samples("http://127.0.0.1:8000/api/v1/metrics")
    assert {"tollgate_config_generation", 'tollgate_networks{state="up"}'} <= names


def test_the_description_names_every_request_that_is_answered(api):
    description = api.get("/openapi.json").json
    assert description["openapi"].startswith("3.1")
    told = {(method.upper(), path) for path, item in description["paths"].items() for method in item
            if method != "parameters"}
    peer = "/networks/{port}/peers/{key}"
    assert told >= {("GET", "/config"), ("POST", "/config"), ("PATCH", "/config"), ("POST", "/apply"),
                    ("GET", "/networks"), ("GET", "/networks/{port}"), ("GET", "/networks/{port}/peers"),
                    ("GET", peer), ("PUT", peer), ("DELETE", peer), ("GET", "/traffic"), ("GET", "/events"),
                    ("GET", "/health"), ("GET", "/metrics"), ("GET", "/openapi.json")}
    for path in {path for _, path in told}:
        answer = api.request("OPTIONS", path.replace("{port}", "51820").replace("{key}", "x"))
        allowed = {word.strip() for word in answer.headers["Allow"].split(",")} - {"HEAD"}
        assert allowed == {method for method, place in told if place == path}, path
    text = json.dumps(description)
    for pointer in re.findall(r'"\$ref": "#/([^"]+)"', text):
        value = description
        for step in pointer.split("/"):
            value = value[step]


def test_head_unknown_methods_and_errors_are_right_on_a_kept_connection(api):
    api.applied(ONE)
    token = f"Authorization: Bearer {ADMIN}\r\nHost: x\r\n".encode()
    with socket.create_connection(TCP, timeout=30 * SLOW) as connection:
        stream = connection.makefile("rb")

        def ask(method, path, body=b""):
            length = f"Content-Length: {len(body)}\r\n".encode() if body else b""
            line = f"{method} /api/v1{path} HTTP/1.1\r\n".encode()
            connection.sendall(line + token + length + b"\r\n" + body)
            return read_answer(stream, method)

        status, headers, body = ask("GET", "/config")
        assert status == 200
        head = ask("HEAD", "/config")
        assert head[0] == 200 and head[2] == b""
        assert head[1]["etag"] == headers["etag"] and head[1]["content-length"] == str(len(body))
        # Had the HEAD a body, the next answer's first line would be it.
        assert ask("DELETE", "/config")[0] == 405
        assert ask("HEAD", "/nowhere")[0] == 404
        assert ask("GET", "/traffic?since=x")[0] == 400
        assert ask("POST", "/apply", b"{")[0] == 400
        assert ask("HEAD", "/health")[0] == 200
        assert ask("GET", "/config")[2] == body
        connection.sendall(b"BREW /api/v1/config HTTP/1.1\r\n" + token + b"\r\n")
        answer = read_answer(stream)
        assert answer[0] == 501
        if answer[1].get("connection") != "close":
            assert ask("GET", "/config")[2] == body


def test_two_requests_in_one_packet_are_answered_in_order(api):
    api.applied(ONE)
    request = f"GET /api/v1/%s HTTP/1.1\r\nHost: x\r\nToken: {ADMIN}\r\n%s\r\n"
    answer = raw((request % ("nowhere", "") + request % ("health", "Connection: close\r\n")).encode())
    assert answer.index(b"404") < answer.index(b'"status"')


def test_a_head_over_16_kib_is_refused(api):
    status = raw(f"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX: {'y' * 17000}\r\n\r\n".encode())
    assert status.split()[1] in (b"400", b"413", b"431")
    assert api.get("/health").status in (200, 503)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\0" * 64,
                                  b"GET / HTTP/9.9\r\n\r\n",
                                  b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"])
def test_what_is_not_http_does_no_harm(api, data):
    with socket.create_connection(TCP, timeout=30 * SLOW) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer == b"" or answer.split()[1].startswith((b"4", b"5"))
    assert api.get("/health").status in (200, 503)


def test_200_posts_without_a_token_cost_control_little_memory(api, daemon):
    control = daemon.role("control")

    def resident_kib():
        return int(status_of(control)["VmRSS"].split()[0])

    api.get("/health")
    before = resident_kib()
    head = b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" \
           b"Content-Length: 60000000\r\n\r\n"
    most = before
    connections = []
    body = b"x" * 65536
    for _ in range(200):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(TCP)
        connections.append(connection)
    deadline = time.monotonic() + 3 * SLOW
    sent = dict.fromkeys(connections, 0)
    while time.monotonic() < deadline:
        for connection in connections:
            try:
                sent[connection] += connection.send(head if not sent[connection] else body)
            except OSError:
                pass	# refused, or nobody reads: both are fine
        most = max(most, resident_kib())
    for connection in connections:
        connection.close()
    assert any(sent.values())
    assert most - before < 8192, f"{before} KiB before, {most} KiB at most"
    until(lambda: api.get("/health").status in (200, 503), "the API answers again")


def test_unfinished_bodies_without_a_token_are_answered_401_and_closed(api):
    answer = raw(b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 401")


def test_the_unix_socket_is_the_operators_alone(daemon):
    daemon.start()
    mode = daemon.api.where.stat()
    assert (mode.st_mode & 0o777, mode.st_uid) == (0o600, 0)


def test_applies_at_the_same_time_are_serialised(api):
    def apply(mtu):
        document = {"51820": {**NETWORK, "mtu": mtu}}
        return Api(TCP, ADMIN, timeout=60 * SLOW).apply(document)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(apply, range(1400, 1416)))
    assert {answer.status for answer in answers} == {200}
    generations = [answer.json["generation"] for answer in answers]
    assert len(set(generations)) == 16
    last = answers[generations.index(max(generations))]
    assert api.get("/config").headers["ETag"] == last.headers["ETag"]


def test_an_apply_whose_client_left_is_finished(api):
    body = json.dumps(ONE).encode()
    with socket.create_connection(TCP, timeout=30) as connection:
        connection.sendall(f"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nToken: {ADMIN}\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    until(lambda: api.get("/networks/51820").status == 200, "the network is made")
    until(lambda: api.config().keys() == {"51820"}, "the document is active")


def test_events_arrive_as_they_happen(api):
    with socket.create_connection(TCP, timeout=30 * SLOW) as connection:
        connection.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nToken: {ADMIN}\r\n\r\n".encode())
        stream = connection.makefile("rb")
        assert b"200" in stream.readline()
        kind = None
        while (line := stream.readline().strip()):
            if line.lower().startswith(b"content-type:"):
                kind = line.split(b":", 1)[1].strip()
        assert kind.startswith(b"text/event-stream")
        api.applied(ONE)
        while b"applied" not in stream.readline():
            pass


@pytest.fixture
def over_tls(daemon, directory):
    """A daemon (not started) with the API over TLS; returns what curl got: (its exit status, the status)."""
    certificate = make_certificate(directory, "localhost", "localhost", usage="serverAuth")
    (directory / "tokens").write_text(f"{ADMIN}\n")
    daemon.options.update({"--api": "0.0.0.0:8443", "--token-file": directory / "tokens",
                           "--api-cert": certificate, "--api-key": certificate})

    def ask(*options):
        done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", certificate, "-o", "/dev/null",
                               "-w", "%{http_code}", *options, "https://localhost:8443/api/v1/networks"],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout
    return ask


def test_the_api_speaks_tls_and_asks_for_a_token_there_too(daemon, over_tls):
    daemon.start()
    assert over_tls() == (0, "401")
    assert over_tls("-H", f"Token: {ADMIN}") == (0, "200")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", 8443), timeout=20 * SLOW) as connection, \
            pytest.raises((ssl.SSLError, ConnectionResetError)):
        old.wrap_socket(connection)


def test_a_client_certificate_is_needed_where_an_authority_is_named(daemon, directory, over_tls):
    authority = make_certificate(directory, "client", "client", usage="clientAuth")
    other = make_certificate(directory, "stranger", "stranger", usage="clientAuth")
    daemon.options["--api-client-ca"] = authority
    daemon.start()
    token = ("-H", f"Token: {ADMIN}")
    assert over_tls(*token, "--cert", authority) == (0, "200")
    assert over_tls("--cert", authority) == (0, "401")
    assert over_tls(*token)[1] == "000"
    assert over_tls(*token, "--cert", other)[1] == "000"
