"""A client of the daemon's API, over its Unix socket or TCP."""

import http.client
import json
import socket


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("tollgate", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:2000]!r}>"


class Api:
    """One connection a request, unless `connection` is given.  `where`: a path of a Unix socket or
    (host, port)."""

    def __init__(self, where, token=None, timeout=60):
        self.where = where
        self.token = token
        self.timeout = timeout

    def connection(self):
        if isinstance(self.where, tuple):
            return http.client.HTTPConnection(*self.where, timeout=self.timeout)
        return _UnixConnection(self.where, self.timeout)

    def request(self, method, path, body=None, headers=None, connection=None):
        headers = dict(headers or {})
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        kept = connection or self.connection()
        try:
            kept.request(method, "/api/v1" + path, body, headers)
            return Answer(kept.getresponse())
        finally:
            if connection is None:
                kept.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def apply(self, document, query="", **options):
        return self.request("POST", "/apply" + query, document, **options)

    def applied(self, document):
        """Applies it, which must succeed; returns the report."""
        answer = self.apply(document)
        assert answer.status == 200, answer
        return answer.json

    def config(self):
        answer = self.get("/config")
        assert answer.status == 200, answer
        return answer.json

    def network(self, port):
        answer = self.get(f"/networks/{port}")
        assert answer.status == 200, answer
        return answer.json

    def traffic(self, query=""):
        answer = self.get("/traffic" + query)
        assert answer.status == 200, answer
        return answer.json
