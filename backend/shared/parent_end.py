"""The end of a parent process: on Linux the kernel tells its children of it, elsewhere a thread of theirs looks."""

import ctypes
import os
import signal
import sys
import threading
import time

BY_KERNEL = sys.platform == "linux"
"""True: also a program that the process executes gets the signal."""
_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5
_libc = ctypes.CDLL(None, use_errno=True) if BY_KERNEL else None


def send(number: signal.Signals, parent: int) -> None:
    """Let this process get a signal when its parent ends, or now if it has ended already.

    Args:
        number: the signal.
        parent: process id of the parent. For the kernel it ends when the thread ends that has forked.

    Raises:
        OSError: the kernel refuses it.
    """
    if _libc is None:
        threading.Thread(target=_look, args=(number, parent), daemon=True).start()
        return
    if _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the call
        os.kill(os.getpid(), number)


def _look(number: signal.Signals, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), number)
