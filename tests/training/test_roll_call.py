"""Workers meet over plain sockets, whoever else is on the network, and compare what they were given."""

import contextlib
import socket
import threading
import time

import pytest

from gan_tf.distributed import rendezvous as roll_call
from gan_tf.distributed.cluster_spec import Place
from gan_tf.errors import UsageError
from tests.training.workers import free_ports


def places(count):
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(count))
    return [Place(index, addresses) for index in range(count)]


def meetings(workers, seconds=20.0):
    """A function for each worker that calls all others."""
    return [lambda place=place: roll_call.meet(place, {"number": place.index}, seconds) for place in workers]


def in_threads(calls):
    """Results or exceptions of functions that run side by side."""
    found = [None] * len(calls)

    def run(i):
        try:
            found[i] = calls[i]()
        except Exception as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_three_workers_meet_and_their_ports_are_free_at_once():
    three = places(3)
    assert in_threads(meetings(three)) == [{index: {"number": index} for index in range(3)}] * 3
    for address in three[0].addresses:
        with socket.socket() as plain:  # without SO_REUSEADDR: no connection of ours lingers on the port
            plain.bind(roll_call.split(address))


def test_a_missing_worker_is_named():
    place = places(2)[0]
    with pytest.raises(
        roll_call.Missing, match=f"worker 1 at {place.addresses[1]} did not answer .* within 0.5 s; see"
    ):
        roll_call.meet(place, {}, 0.5)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\n", b"[[[[\n", b'{"index": 0, "words": {}}\n'])
def test_somebody_else_at_an_address_is_not_a_worker(answer):
    place = places(2)[0]
    with socket.create_server(roll_call.split(place.addresses[1])) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(roll_call.Missing, match="did not answer"):
            roll_call.meet(place, {}, 1.0)


def test_what_a_stranger_says_does_not_disturb_the_meeting():
    two = places(2)

    def disturb():
        for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"[" * 100_000 + b"\n"):
            for _ in range(20):
                with contextlib.suppress(OSError), socket.create_connection(roll_call.split(two[0].addresses[0])) as it:
                    it.sendall(words)
                    break
                time.sleep(0.05)

    assert in_threads([*meetings(two), disturb])[:2] == [{0: {"number": 0}, 1: {"number": 1}}] * 2


def test_differences_are_named_with_both_values():
    met = {0: {"same": {"--seed": 0, "--lr": 1.0}}, 1: {"same": {"--seed": 0, "--lr": 2.0}}}
    with pytest.raises(UsageError, match="--lr is 2.0 on worker 1 and 1.0 on worker 0; give all workers the same"):
        roll_call.refuse_differences(met, "same")
    met[1]["same"] = {"--lr": 1.0}
    with pytest.raises(UsageError, match="--seed is 'missing' on worker 1 and 0 on worker 0"):
        roll_call.refuse_differences(met, "same")
    met[1]["same"] = dict(met[0]["same"])
    roll_call.refuse_differences(met, "same")
