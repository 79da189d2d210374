"""Asks the gateway for a page at a steady rate, each time on a new connection, until its standard input
ends.  Prints the time of each answer in ms, from the moment when it was due: what a stall delays counts.

    load.py PORT HOST INTERVAL_MS
"""

import json
import select
import socket
import sys
import time


def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"load.py: {answer[:200]!r}")


def main():
    port, host, interval = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]) / 1e3
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    took = []
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
        ask(port, request)
        took.append((time.monotonic() - due) * 1e3)
        due += interval
    json.dump(took, sys.stdout)


main()
