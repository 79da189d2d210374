"""What comes to the gateway from the internet: curl, openssl, raw sockets, pings."""

import json
import os
import socket
import ssl
import struct
import subprocess
import urllib.parse

from rig import linux
from rig.lab import PUBLIC, entering
from rig.wait import SLOW


def curl_command(url, *options, certificate=None, gateway=PUBLIC):
    """curl for `url`, at the gateway whatever the name.  HTTPS needs the certificate to trust."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    trust = ["--cacert", str(certificate)] if certificate else []
    return ["curl", "-sS", "--noproxy", "*", "--max-time", str(int(60 * SLOW)), "--resolve",
            f"{parts.hostname}:{port}:{gateway}", *trust, *options, url]


def curl(url, *options, namespace=None, check=True, **more):
    """The body of the answer."""
    done = subprocess.run(entering(namespace) + curl_command(url, *options, **more), capture_output=True,
                          check=False)
    if check:
        assert done.returncode == 0, f"curl {url}: {done.returncode} {done.stderr.decode()}"
    return done.stdout if check else (done.returncode, done.stdout, done.stderr.decode())


def curl_json(url, *options, **more):
    return json.loads(curl(url, *options, **more))


def curl_status(url, *options, **more):
    """The status code of the answer."""
    return int(curl(url, "-o", "/dev/null", "-w", "%{http_code}", *options, **more))


def connect(port, gateway=PUBLIC, namespace=None, timeout=30):
    """A raw connection to the gateway."""
    connection = linux.socket_in(namespace, socket.AF_INET6 if ":" in gateway else socket.AF_INET)
    connection.settimeout(timeout * SLOW)
    connection.connect((gateway, port))
    return connection


def read_all(connection):
    """Until the other side ends or resets."""
    data = b""
    try:
        while part := connection.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def read_exactly(connection, size):
    """That many bytes, fewer when the other side ends first.  (MSG_WAITALL does not wait here: a socket
    with a time-out is a non-blocking one.)"""
    data = b""
    while len(data) < size and (part := connection.recv(size - len(data))):
        data += part
    return data


def ask_raw(port, data, **options):
    """Sends `data`, returns all that comes back until the gateway closes."""
    with connect(port, **options) as connection:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(connection)


def request(host, path="/", more="", method="GET"):
    """The head of a request, with the lines `more` in it."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def read_answer(stream, method="GET"):
    """One HTTP answer from a file made of a connection: (status, {name: value}, body)."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()):
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.strip().decode()
    body = b""
    if method != "HEAD" and status not in (204, 304):
        if headers.get("transfer-encoding") == "chunked":
            while size := int(stream.readline().split(b";")[0], 16):
                body += stream.read(size)
                stream.readline()
            while stream.readline().strip():
                pass
        else:
            body = stream.read(int(headers.get("content-length", 0)))
    return status, headers, body


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def pings(namespace, address, seconds=1.0):
    """Whether `address` answers one ICMP echo that is sent in `namespace`.  A second is for those that are
    sent again and again, or that nobody is to answer."""
    ident = int.from_bytes(os.urandom(2), "big")
    with linux.socket_in(namespace, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(seconds * SLOW)
        head = struct.pack("!BBHHH", 8, 0, 0, ident, 1)
        packet = head[:2] + struct.pack("!H", _checksum(head + b"tollgate")) + head[4:] + b"tollgate"
        try:
            raw.sendto(packet, (address, 0))
            while True:
                data, (source, _) = raw.recvfrom(2048)
                answer = data[(data[0] & 15) * 4:]
                if source == address and answer[0] == 0 and answer[4:6] == struct.pack("!H", ident):
                    return True
        except OSError:
            return False


def reaches(namespace, address, port, seconds=1.0):
    """Whether a TCP connection from `namespace` to that place comes about."""
    with linux.socket_in(namespace) as connection:
        connection.settimeout(seconds * SLOW)
        try:
            connection.connect((address, port))
            return True
        except OSError:
            return False


def client_hello(host):
    """A ClientHello with that server name (None: without one), made by Python's own TLS."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = host is not None
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
