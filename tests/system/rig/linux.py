"""The system calls that Python 3.11 has no name for."""

import contextlib
import ctypes
import os
import socket

MS_REC = 0x4000
MS_PRIVATE = 1 << 18
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags):
    _checked(_libc.unshare(flags), "unshare")


def setns(fd, kind):
    _checked(_libc.setns(fd, kind), "setns")


def mount(source, target, kind=None, flags=0, data=None):
    def text(value):
        return None if value is None else os.fsencode(value)
    _checked(_libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)),
             f"mount {target}")


def die_with_parent(signal):
    _checked(_libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


@contextlib.contextmanager
def inside(namespace):
    """This thread in the network namespace /run/netns/NAME; None: where it is.  A socket keeps the
    namespace it was made in."""
    if namespace is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            setns(there, CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def socket_in(namespace, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
    with inside(namespace):
        return socket.socket(family, kind, protocol)
