"""A web server for load.py: one page, at 0.0.0.0:80 of the namespace that it is started in.

    serve.py
"""

import selectors
import socket

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n"


def main():
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("0.0.0.0", 80), backlog=128)
    selector.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            try:
                alive = key.fileobj.recv(65536)
                if alive:
                    key.fileobj.sendall(PAGE)
            except ConnectionError:
                alive = b""
            if not alive:
                selector.unregister(key.fileobj)
                key.fileobj.close()


main()
