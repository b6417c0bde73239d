"""What fuzzing and thought have found, each as the smallest input that shows it."""

import io
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from gan_tf.cli.evaluate import other_scores
from gan_tf.data import arrays
from gan_tf.data.images import UnreadableImage, load_square
from gan_tf.data.sources import FolderSource, ZipSource, open_source
from gan_tf.errors import UsageError
from gan_tf.pretrained.network_pickles import read_network_pickle
from gan_tf.pretrained.torch_files import read_torch_file
from gan_tf.runs.folder import Run
from gan_tf_datasets.faces.files import TarSource
from tests.convert import test_stylegan2_files as stylegan2_files
from tests.convert.test_fastgan_files import changed
from tests.fuzz import seeds
from tests.fuzz.archives import packed
from tests.pretrained.torch_format import write_legacy, write_zip

PIXELS = seeds.PIXELS


def refusal(read, *arguments):
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


def stored(**changes):
    whole = json.loads(json.dumps(seeds.settings()[0]))
    return {**whole, "settings": {**whole["settings"], **changes}}


def settings_of(folder, text):
    (folder / "config.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return refusal(Run(folder).read_settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "8"),
        ("batch_size", 2**64),
        ("lr", float("nan")),
        ("total_kimg", 10**400),
        ("loss", "x\n"),
        ("limit", [[1]]),
        ("dataset", "a\x1b[2J"),
        ("dataset", "\ud800"),
        ("x" * 10**6, 1),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_setting_of_another_type_is_named(tmp_path, name, value):
    text = settings_of(tmp_path, stored(**{name: value}))
    assert f"{tmp_path}/config.json" in text and name[:80] in text and len(text) < 400


def test_whole_numbers_may_stand_for_others_and_ours_come_back(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(stored(total_kimg=5, ema_kimg=None)))
    config, data = Run(tmp_path).read_settings()
    assert config.total_kimg == 5 and config.ema_kimg is None and data == seeds.settings()[0]["data"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "9" * 10_000,
        "[]",
        "null",
        '{"settings": [], "data": {}}',
        '"settings"',
        "\udcff",
        '{"settings": {}}',
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_a_config_that_is_none(tmp_path, text):
    (tmp_path / "config.json").write_text(text, errors="surrogateescape")
    assert "config.json is damaged" in refusal(Run(tmp_path).read_settings)
    (tmp_path / "environment.json").write_text(text, errors="surrogateescape")
    (tmp_path / "stats.jsonl").write_text(
        f'{text}\n{{"images_seen": "8"}}\n{{"images_seen": 8}}', errors="surrogateescape"
    )
    run = Run(tmp_path)
    assert run.trained_images() == 8
    if not text.startswith("{"):
        assert "environment.json is damaged" in (
            refusal(run.read_environment) if text != "[]" else "environment.json is damaged"
        )


@pytest.mark.parametrize(
    "change", [{"fingerprint": 3}, {"images": "many"}, {"class_names": "ab"}, {"class_names": [1]}]
)
def test_what_is_stored_of_the_data_has_its_types(tmp_path, change):
    whole = stored()
    assert f"data.{next(iter(change))}" in settings_of(tmp_path, {**whole, "data": {**whole["data"], **change}})


def test_another_format_is_of_another_version(tmp_path):
    assert "has the format 2; it was written by another version" in settings_of(tmp_path, {**stored(), "format": 2})


def test_a_folder_pipe_or_device_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    assert "is damaged" in refusal(Run(tmp_path).read_settings)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "generator.npz").symlink_to("/dev/zero")
    assert "is damaged" in refusal(Run(tmp_path).best_weights)
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    source = FolderSource(tmp_path)
    for i in range(2):
        with pytest.raises(UnreadableImage, match="no plain file"):
            source.read(i)


def best(folder, members, packing=zipfile.ZIP_STORED):
    path = Run(folder).best
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(packed(members, packing))
    return refusal(Run(folder).best_weights)


def npy(array, old="", new=""):
    file = io.BytesIO()
    np.save(file, array)
    content = file.getvalue().replace(old.encode(), new.encode())
    return content.replace(b" " * len(new) + b"\n", b" " * len(old) + b"\n", 1)


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]"])
def test_damaged_scores_of_another_evaluation_are_ignored(tmp_path, content):
    path = tmp_path / "scores.json"
    path.write_text(content)
    assert other_scores(path, {"target": "x", "scores": []}) == []


def test_a_pipe_in_place_of_scores_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "scores.json")
    assert other_scores(tmp_path / "scores.json", {"target": "x", "scores": []}) == []


def test_weights_hold_no_more_than_their_file(tmp_path):
    meta = seeds.weights()[0]
    assert "is damaged" in best(tmp_path, [meta, ("w.npy", npy(np.zeros(10**7)))], zipfile.ZIP_DEFLATED)
    assert "is damaged" in best(tmp_path, [meta, ("w.npy", npy(np.zeros(3), "(3,)", "(9999999999,)"))])
    assert "is damaged" in best(tmp_path, [meta, ("w.npy", npy(np.array("text")))])
    assert "is damaged" in best(tmp_path, [("meta_json.npy", npy(np.array("[]")))])
    Run(tmp_path).best.write_bytes(npy(np.zeros(3)))  # an array and no archive
    assert "is damaged" in refusal(Run(tmp_path).best_weights)


def test_an_array_whose_name_is_a_path_stays_in_the_cache(tmp_path, monkeypatch):
    cache = tmp_path / "a" / "b" / "cache"
    monkeypatch.setenv("GAN_TF_CACHE", str(cache))
    monkeypatch.setattr(arrays, "IN_MEMORY_BYTES", 10)
    (tmp_path / "set.npz").write_bytes(packed([("x/../../../../out.npy", npy(PIXELS))], zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(open_source(tmp_path / "set.npz").read(2), PIXELS[2])
    [made] = [path for path in tmp_path.rglob("*.npy") if path.is_file()]
    assert made.parent == cache / "npz"


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_python_unpacks_without_bounds_is_refused(tmp_path, packing):
    (tmp_path / "set.npz").write_bytes(packed([("images.npy", npy(PIXELS))], packing))
    assert "another method than deflate" in refusal(open_source, tmp_path / "set.npz")
    (tmp_path / "set.zip").write_bytes(packed([("a.png", seeds.pictures()[0][1])], packing))
    with pytest.raises(UnreadableImage, match="another method than deflate"):
        ZipSource(tmp_path / "set.zip").read(0)


@pytest.mark.parametrize(
    "members",
    [
        [("images.npy", npy(PIXELS, "(3, 5, 4, 3)", "(-3, -5, 4, 3)"))],
        [("images.npy", npy(PIXELS, "(3, 5, 4, 3)", "((((((((((("))],
        [
            ("images.npy", npy(PIXELS)),
            ("labels.npy", npy(np.array([0, 1, 0]))),
            ("class_names.npy", npy(np.array("x"))),
        ],
        [("images.npy", npy(PIXELS)), ("y.npy", npy(np.zeros(3, int))), ("class_names.npy", npy(np.array(["a\n"])))],
        [("images.npy", npy(PIXELS)), ("labels.npy", npy(np.zeros(3), "(3,)", "(10000000000,)"))],
        [("a\n\x1b.npy", npy(np.array([{}]))), ("images.npy", npy(PIXELS))],
        [("images.npy", npy(PIXELS)), ("names.npy", npy(np.full(3, 0x7FFFFFFF, np.uint32).view("<U1")))],
    ],
)
def test_senseless_sets_of_images(tmp_path, members):
    (tmp_path / "set.npz").write_bytes(packed(members, zipfile.ZIP_DEFLATED))
    assert "set.npz" in refusal(open_source, tmp_path / "set.npz")


def test_images_without_pixels_are_unreadable():
    with pytest.raises(UnreadableImage, match="no pixels"):
        load_square(np.zeros((0, 4, 3), np.uint8), 8, "crop", (0, 0, 0))


def test_names_that_a_terminal_would_obey_are_refused(tmp_path):
    (tmp_path / "set.zip").write_bytes(packed([("a\x1b[2J.png", b"1")]))
    assert r"rename 'a\x1b[2J.png', which holds a control character" in refusal(ZipSource, tmp_path / "set.zip")
    (tmp_path / "Icon\r").write_text("of a Macintosh, no picture")
    (tmp_path / "a.png").write_text("1")
    assert FolderSource(tmp_path).names == ["a.png"]
    with open(os.fsencode(tmp_path) + b"/m\xfcnchen.png", "wb"):
        pass
    assert r"rename 'm\udcfcnchen.png', which holds a control character or is no UTF-8" in refusal(
        FolderSource, tmp_path
    )


def test_an_entry_without_a_name(tmp_path):
    (tmp_path / "set.zip").write_bytes(packed([("", b"1"), ("a.png", b"1")]))
    assert ZipSource(tmp_path / "set.zip").names == ["a.png"]


def nested(depth):
    return b"\x80\x02})" + b"\x85" * depth + b"K\x01s."


def doubled(times):
    return b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * times + b"h\x00K\x01s."


def copied(maker, times, items=65_536):
    """A list that is made into a dict or set so many times, by 5 bytes of pickle each."""
    key = b"X\x01\0\0\0a"
    item = key if maker.endswith(b"set\n") else key + key + b"\x86"
    listed = b"](" + item + b"q\x01" + b"h\x01" * (items - 1) + b"e"
    return b"\x80\x02c" + maker + b"q\x00" + listed + b"\x85q\x02" + b"h\x00h\x02R" * times + b"}."


@pytest.mark.parametrize(
    "maker", [b"collections\nOrderedDict\n", b"builtins\nset\n", b"dnnlib\nEasyDict\n"], ids=["dict", "set", "easy"]
)
def test_a_list_copied_over_and_over(tmp_path, maker):
    """Half a megabyte of pickle would take minutes, four megabytes an hour."""
    path = tmp_path / "network.pkl"
    path.write_bytes(copied(maker, times=60_000))
    assert "more than 262144 items copied" in refusal(read_network_pickle, path)
    path.write_bytes(copied(maker, times=3))
    assert "items copied" not in refusal(read_network_pickle, path)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize(
    "program",
    [
        copied(b"collections\nOrderedDict\n", times=60_000),
        nested(1_000_000),  # whose hash would take more stack than there is
        doubled(60),  # whose hash would take 2 ** 60 steps
        doubled(60).replace(b"\x80\x02}", b"\x80\x02}(", 1).replace(b"K\x01s", b"K\x01u"),
        b"\x80\x02ccollections\nOrderedDict\n]]" + b")" + b"\x85" * 1_000_000 + b"aK\x01aa\x85R.",
        b"\x80\x02]" + b"\x95\x01\0\0\0\0\0\0\0" * 100_000 + b".",
    ],
    ids=["copied", "nested", "doubled", "several", "pairs", "frames"],
)
def test_pickles_that_hang_or_crash_the_unpickler(tmp_path, write, program):
    assert "weights.pth is damaged" in refusal(read_torch_file, write(tmp_path / "weights.pth", program))


@pytest.mark.parametrize(
    ("role", "name", "shape"),
    [
        (0, "synthesis.b16.conv1.weight", (2**20, 0, 3, 3)),
        (0, "synthesis.b4.conv1.weight", (16, 16, 1, 1)),
        (0, "synthesis.b4.conv1.affine.weight", (16, 0)),
        (0, "mapping.fc0.weight", (2**20, 0)),
        (0, "mapping.fc1.weight", (8, 0)),
        (0, "mapping.embed.weight", (0, 2**30)),
        (1, "b16.conv0.weight", (2**20, 0, 3, 3)),
        (1, "b4.conv.weight", (2**20, 2**20 + 1, 0, 0)),
        (1, "b4.fc.weight", (16, 0)),
        (1, "mapping.fc0.weight", (0, 2**20)),
        (1, "mapping.embed.weight", (0, 2**30)),
    ],
)
def test_a_small_pickle_of_stylegan2_asks_for_no_large_network(tmp_path, role, name, shape):
    """Every width and number that a network is built with is the side of an array that has its other side as well."""
    classes = 3 if "mapping" in name else 0
    states = list(stylegan2_files.states(classes))
    states[role] = changed(states[role], **{name: np.zeros(shape, np.float32)})
    arguments = stylegan2_files.arguments(classes)
    said = stylegan2_files.refusal(stylegan2_files.write(tmp_path / "a.pkl", states, *arguments))
    assert "has the shape" in said and "and should have" in said


def tar(path, change=lambda header: None, layout=tarfile.GNU_FORMAT, **pax):
    info = tarfile.TarInfo("a.png")
    info.size, info.pax_headers = 3, pax
    with tarfile.open(path, "w", format=layout) as archive:
        archive.addfile(info, io.BytesIO(b"abc"))
    content = bytearray(path.read_bytes())
    change(content)
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    path.write_bytes(content)
    return path


def backwards(content):
    content[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512


def test_a_tar_that_leads_back_into_itself_ends(tmp_path):
    assert "an impossible size" in refusal(TarSource, tar(tmp_path / "a.tar", backwards))
    path = tar(tmp_path / "b.tar", layout=tarfile.PAX_FORMAT, size="-1536")
    assert "b.tar is not a whole, uncompressed tar archive" in refusal(TarSource, path)
    path = tar(tmp_path / "c.tar", layout=tarfile.PAX_FORMAT, comment="7" * 60_000)
    assert "an impossible number" in refusal(TarSource, path)


def test_a_pickle_in_place_of_any_file_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    program = pickle.dumps(Evil())
    for name in ("config.json", "environment.json", "best/generator.npz", "set.npz", "set.zip", "set.tar", "a.pth"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(program)
    run = Run(tmp_path)
    for read in (run.read_settings, run.read_environment, run.best_weights):
        refusal(read)
    for read, name in (
        (open_source, "set.npz"),
        (open_source, "set.zip"),
        (TarSource, "set.tar"),
        (read_torch_file, "a.pth"),
    ):
        refusal(read, tmp_path / name)
    np.savez(tmp_path / "set.npz", images=np.array([Evil()], object))
    np.savez(run.best, w=np.array([Evil()], object))
    refusal(open_source, tmp_path / "set.npz")
    refusal(run.best_weights)
    assert not (tmp_path / "ran").exists()
