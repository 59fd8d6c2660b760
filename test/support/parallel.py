"""What other processes compute, which have to import it."""

import os
import signal


def squared(number: int) -> int:
    """Return a square, but end the process for 2."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number
