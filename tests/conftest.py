"""Fixtures and environment of all tests: two logical CPU devices, no messages of TensorFlow, an empty cache folder.

The environment is set before TensorFlow is imported, and inherited by the processes that tests start.
"""

import functools
import http.server
import importlib.util
import os
import sys
import threading

import pytest

# Known answers are float32 on the CPU. CUDA_VISIBLE_DEVICES=0 in the environment runs the tests on a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 3: only fatal errors of the C++ part

# Parallel test processes divide the cores. By default each would start a thread for every core.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    threads = str(max(1, (os.cpu_count() or 1) // WORKERS))
    for variable in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, threads)


def pytest_collection_finish(session):
    """Splits the CPU into two logical devices after the test modules are imported and before TensorFlow starts.

    Tests can then use a mirrored strategy over `CPU:0` and `CPU:1` in their process. Skipped if no test module imports
    TensorFlow, since the import takes seconds.
    """
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_terminal_summary(terminalreporter):
    """Prints the table of docs/distributed.md if tests of faults passed."""
    reports = sorted(terminalreporter.getreports("passed"), key=lambda report: report.location[:2])
    rows = [row for report in reports for name, row in report.user_properties if name == "fault"]
    if rows:
        terminalreporter.section("faults of two workers")
        heads = ("Fault", "What happens", "Work lost", "Time to end", "Equal to undisturbed")
        for cells in (heads, ["---"] * len(heads), *rows):
            terminalreporter.write_line(f"| {' | '.join(cells)} |")


@pytest.fixture(scope="session", autouse=True)
def two_cpus():
    """The mirrored strategy of two replicas on the two logical CPU devices, the only one of a test process.

    Two strategies in one process use the same numbers for their collective operations, which then fail. So creating a
    second one raises an error. The test's module must import TensorFlow at its top, so that the CPU is split in time.
    """
    if "tensorflow" not in sys.modules:
        yield None
        return
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def refuse(*arguments, **options):
        raise AssertionError("a test process has one mirrored strategy: use the fixture two_cpus")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.distribute, "MirroredStrategy", refuse)
        yield strategy


@pytest.fixture
def mirrored_is_two_cpus(two_cpus, monkeypatch):
    """`--strategy mirrored` means the fixture two_cpus."""
    monkeypatch.setattr("tensorflow.distribute.MirroredStrategy", lambda devices: two_cpus)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """GAN_TF_CACHE: an empty folder, so that tests do not use the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_TF_CACHE", str(folder))
        yield folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """GAN_TF_CACHE: a missing folder, for a single test."""
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """The file of a dataset with 12 images."""
    from tests.training import tiny

    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture
def file_server(tmp_path_factory):
    """A web server on this machine: (served folder, its URL, list of the requested paths)."""
    folder, requests = tmp_path_factory.mktemp("site"), []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def torch():
    """PyTorch. Without it the tests are skipped, or fail in CI."""
    if importlib.util.find_spec("torch") is None:
        reason = "PyTorch is not installed: pip install -r requirements/parity.txt"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    import torch

    return torch


@pytest.fixture
def start_command(tmp_path):
    """Returns a function that starts a command with a small program in place of gan-tf, as `tests.programs.Command`.

    At the end of the test the program must have ended.
    """
    from tests.programs import Command

    started = []

    def start(command, roles, **variables):
        started.append(Command(tmp_path, command, roles, **variables))
        return started[-1]

    yield start
    left = [pid for command in started for pid in command.stop()]
    assert not left, "workers were not ended"
