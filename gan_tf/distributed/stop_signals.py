"""Records SIGINT and SIGTERM so that a program can save before it stops."""

import contextlib
import signal
import socket


class StopSignals:
    """Records SIGINT and SIGTERM within a `with` block. A second signal has its usual effect and ends the program.

    With several workers, enter the block after `workers.start_workers`: TensorFlow 2.21 installs a SIGTERM handler of
    its own when it connects the workers.
    """

    HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self._received = self._reader = None

    def __enter__(self):
        self._previous = {number: signal.signal(number, self._handle) for number in self.HANDLED}
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *error):
        signal.set_wakeup_fd(self._previous_wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        for end in (self._reader, self._writer):
            end.close()

    @property
    def received(self) -> str | None:
        """Name of the first signal, None before one. Any thread may read it.

        While the main thread waits in TensorFlow no Python handler can run, but the interpreter still writes the
        signal's number to the wakeup socket.
        """
        with contextlib.suppress(OSError, AttributeError):  # no signal, or outside the block
            for number in self._reader.recv(64):
                if number in self.HANDLED:
                    self._received = self._received or signal.Signals(number).name
        return self._received

    def _handle(self, number, frame):
        self._received = self._received or signal.Signals(number).name
        signal.signal(number, self._previous[number])
