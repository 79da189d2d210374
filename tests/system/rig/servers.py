"""Servers in a namespace: threads of the test's process, whose sockets were made in there."""

import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import threading

from rig import linux

BLOCK = bytes(range(256)) * 256	# 64 KiB


class _Handler(http.server.BaseHTTPRequestHandler):
    """/bytes/N: N bytes; /pieces/N: N pieces of 64 KiB, each when the server is told to go on; else a
    JSON text that says whose server it is and what it was asked."""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        owner = self.server.owner
        owner.requests.append((self.command, self.path, dict(self.headers), body))
        kind, _, number = self.path.strip("/").partition("/")
        if kind == "bytes":
            self._send_bytes(int(number))
        elif kind == "pieces":
            self._send_pieces(int(number))
        else:
            text = json.dumps({"server": owner.name, "method": self.command, "path": self.path,
                               "headers": dict(self.headers), "body_bytes": len(body)}).encode()
            self._head(len(text), "application/json")
            if self.command != "HEAD":
                self.wfile.write(text)

    def _head(self, size, kind="application/octet-stream"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("Server-Name", self.server.owner.name)
        self.end_headers()

    def _send_bytes(self, size):
        self._head(size)
        while size > 0:
            self.wfile.write(BLOCK[:size])
            size -= len(BLOCK)

    def _send_pieces(self, count):
        self._head(count * len(BLOCK))
        for _ in range(count):
            self.server.owner.pace.acquire()
            self.wfile.write(BLOCK)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _answer


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, owner, namespace, address, tls):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.owner = owner
        self.tls = tls
        self.socket = linux.socket_in(namespace, family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(address)
        self.server_activate()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def finish_request(self, request, client_address):
        if self.tls is not None:	# the handshake in the connection's own thread
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def shutdown_request(self, request):
        try:
            super().shutdown_request(request)
        except OSError:
            pass

    def handle_error(self, request, client_address):
        pass	# clients that leave are part of the tests


class Server:
    """HTTP at `http_port` and, with a certificate, HTTPS at `https_port` of `address`."""

    def __init__(self, namespace, address, name=None, http_port=80, https_port=443, certificate=None):
        self.name = name or namespace
        self.requests = []
        self.pace = threading.Semaphore(0)
        self.listeners = []
        if http_port is not None:
            self.listeners.append(_Listener(self, namespace, (address, http_port), None))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.listeners.append(_Listener(self, namespace, (address, https_port), context))

    def close(self):
        for listener in self.listeners:
            listener.shutdown()
            listener.server_close()
        self.listeners = []


def make_certificate(directory, name, *hosts, usage="serverAuth"):
    """A certificate that signs itself, with its key, by openssl(1), in one file; the path."""
    path = pathlib.Path(directory) / f"{name}.pem"
    names = ",".join(f"DNS:{host}" for host in hosts)
    key = path.with_suffix(".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}",
                    "-addext", f"extendedKeyUsage={usage}", "-keyout", key, "-out", path],
                   check=True, capture_output=True)
    with path.open("a") as out:
        out.write(key.read_text())
    return path
