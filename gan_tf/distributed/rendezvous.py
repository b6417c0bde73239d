"""Before TensorFlow connects the workers, each calls all others over plain sockets, and they compare their settings.

TensorFlow waits for a worker that is not there without end and without listening to anybody, and workers that were
given different settings train on in silence or fall over each other. So they meet here first, by the addresses that
TensorFlow will use. A worker asks each other for its words and answers when asked; both are one line of JSON.
"""

import contextlib
import errno
import json
import os
import socket
import threading
import time

from gan_tf.errors import UsageError

ASK_SECONDS = 2.0  # for one connection
PAUSE_SECONDS = 0.2  # between two rounds
MOST_BYTES = 1 << 16  # of a worker's words


class Missing(Exception):
    """The workers did not meet in time; the message names those that are missing, and what to look at."""


def meet(place, words, seconds) -> dict[int, dict]:
    """Exchanges words with every other worker: {number: its words}, our own among them.

    Args:
        place: places.Place.
        words: JSON object, of a few thousand characters.
        seconds: how long to wait for the others.

    Raises:
        Missing: not all others were there in time.
    """
    met, failures, asked_by = {place.index: words}, {}, set()
    others = [index for index in range(len(place.addresses)) if index != place.index]
    deadline = time.monotonic() + seconds
    own = json.dumps({"index": place.index, "words": words}).encode() + b"\n"
    with listening(place.addresses[place.index], deadline) as server:
        answering = threading.Event()
        thread = threading.Thread(target=answer, args=(server, own, asked_by, answering), daemon=True)
        thread.start()
        while waiting := [index for index in others if index not in met or index not in asked_by]:
            if time.monotonic() >= deadline:
                absent = "; ".join(_absence(place, index, failures.get(index)) for index in waiting)
                raise Missing(f"{absent} within {seconds:g} s; see that it starts, and that its port is open to us")
            for index in [index for index in waiting if index not in met]:
                try:
                    met[index] = ask(place.addresses[index], own, index)
                except (OSError, ValueError) as error:
                    failures[index] = error
            time.sleep(PAUSE_SECONDS)
        answering.set()
        thread.join()
    return dict(sorted(met.items()))


@contextlib.contextmanager
def listening(address, deadline):
    """A socket that listens on the port of `address`; waits while somebody else has it.

    Raises:
        Missing: the port is not free in time.
    """
    host, port = split(address)
    while True:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            server = socket.create_server(("", port), family=family)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                why = os.strerror(error.errno)
                raise Missing(
                    f"this worker cannot listen on port {port} ({why}); stop the program that has it"
                ) from error
            time.sleep(PAUSE_SECONDS)
    with server:
        server.settimeout(PAUSE_SECONDS)
        yield server


def answer(server, own, asked_by, done):
    """Tells each that asks our words, until `done`; notes the numbers of those that have got them in `asked_by`."""
    while not done.is_set():
        with contextlib.suppress(OSError, ValueError):
            connection, _ = server.accept()
            with connection:
                connection.settimeout(ASK_SECONDS)
                index = parse(read_line(connection))["index"]
                connection.sendall(own)
                connection.recv(1)  # the other closes first: our port must be free for TensorFlow at once
                asked_by.add(index)


def ask(address, own, index) -> dict:
    """The words of worker `index` at an address.

    Raises:
        OSError: it cannot be reached. ValueError: somebody else answers there.
    """
    with socket.create_connection(split(address), ASK_SECONDS) as connection:
        connection.settimeout(ASK_SECONDS)
        connection.sendall(own)
        found = parse(read_line(connection))
    if found["index"] != index:
        raise ValueError(f"worker {found['index']} answers there")
    return found["words"]


def read_line(connection) -> bytes:
    """What comes up to the end of a line."""
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(4096)
        if not part or len(data) > MOST_BYTES:
            raise ValueError("somebody else answers there")
        data += part
    return data


def parse(line) -> dict:
    """{"index": a worker's number, "words": its words}. Raises ValueError if the line is none of ours."""
    try:
        found = json.loads(line)
        fits = type(found["index"]) is int and isinstance(found["words"], dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        fits = False
    if not fits:
        raise ValueError("somebody else answers there")
    return found


def refuse_differences(met, what):
    """Raises UsageError, on every worker alike, if some words under the key `what` are not those of the chief.

    Args:
        met: of `meet`.
        what: key of a dict of settings as a user gives them: {flag or name: value}.
    """
    chief = met[0][what]
    for index, words in met.items():
        for name in sorted(chief.keys() | words[what].keys()):
            ours, theirs = (found.get(name, "missing") for found in (chief, words[what]))
            if ours != theirs:
                raise UsageError(
                    f"{name} is {theirs!r} on worker {index} and {ours!r} on worker 0; give all workers the same "
                    "command and the same versions"
                )


def split(address) -> tuple[str, int]:
    """(host, port) of HOST:PORT; an IPv6 host may stand in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _absence(place, index, failure):
    why = f" ({failure})" if failure else ""
    return f"worker {index} at {place.addresses[index]} did not answer{why}"
