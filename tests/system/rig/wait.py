"""Waiting for what must come: by polling, with a deadline that stretches on slow machines."""

import os
import time

SLOW = float(os.environ.get("TOLLGATE_TEST_SLOW", "1"))	# how much slower than a usual machine


def until(check, what, seconds=30):
    """Calls `check` until it returns something true, which is returned.  Exceptions of the network, what is
    not yet in an answer and failed assertions count as not yet."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        last = None
        try:
            value = check()
            if value:
                return value
        except (OSError, AssertionError, LookupError, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds * SLOW:.0f} s: {what} (last: {last!r})")
        time.sleep(0.02 * SLOW)
