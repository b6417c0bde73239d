"""Ends a process that hangs in TensorFlow with Python's lock held, where no thread or handler of ours can run."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

# What the watching process does: wait, and if the other still lives, say why and send it a signal.
WATCH = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
seconds, watched, number, why = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
end = time.monotonic() + seconds
while os.getppid() == watched and time.monotonic() < end:
    time.sleep(0.2)
if os.getppid() == watched:
    print(why, file=sys.stderr, flush=True)
    os.kill(watched, number)
"""


@contextlib.contextmanager
def ends_process_after(seconds, code, why):
    """If the block takes longer, this process says `why` on stderr and ends with exit code `code`.

    The C library's `_exit` serves as the handler of the signal whose number is `code`: it is given that number, and
    makes it the exit code. Elsewhere than on Linux, where no such signal exists, the process is killed.

    Args:
        code: 35 to 64, numbers of signals that nobody else uses.
    """
    number = code if sys.platform == "linux" else signal.SIGKILL
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.signal.restype = ctypes.c_void_p
    if number == code:
        before = libc.signal(number, ctypes.cast(libc._exit, ctypes.c_void_p))
    command = [sys.executable, "-I", "-S", "-c", WATCH, str(seconds), str(os.getpid()), str(number), why]
    watch = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        watch.kill()
        watch.wait()
        if number == code:
            libc.signal(number, before)
