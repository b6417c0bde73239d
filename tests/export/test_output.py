"""Exported files get their name when they are complete, and replace earlier exports only."""

import os

import pytest

from gan_tf.errors import UsageError
from gan_tf.export.formats import SAVED_MODEL, check_output, output

KINDS = pytest.mark.parametrize("is_folder", [False, True])


def write(part, is_folder, content="new"):
    if is_folder:
        (part / "variables").mkdir(parents=True)
        (part / "variables" / "data").write_text(content)
    (part / "saved_model.pb" if is_folder else part).write_text(content)


def read(path):
    return (path / "saved_model.pb" if path.is_dir() else path).read_text()


@KINDS
def test_output_replaces_an_earlier_one_when_complete(tmp_path, is_folder):
    path = tmp_path / "new" / "file"
    for content in ("old", "new"):
        with output(path) as part:
            write(part, is_folder, content)
            assert not path.exists() or read(path) == "old"
        assert read(path) == content
    with pytest.raises(KeyboardInterrupt), output(path) as part:
        write(part, is_folder, "newest")
        raise KeyboardInterrupt
    assert [entry.name for entry in path.parent.iterdir()] == ["file"] and read(path) == "new"


def test_earlier_folder_is_restored_if_it_cannot_be_replaced(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, True, "old")
    replace, calls = os.replace, []

    def fail_once(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(OSError), output(path) as part:
        write(part, True)
    assert read(path) == "old" and len(list(tmp_path.iterdir())) == 1


@KINDS
def test_only_earlier_exports_may_be_replaced(tmp_path, is_folder):
    path = tmp_path / "file"
    names = SAVED_MODEL if is_folder else ()
    check_output(path, False, names)
    write(path, is_folder)
    with pytest.raises(UsageError, match="--overwrite"):
        check_output(path, False, names)
    check_output(path, True, names)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("photos", "link"):
        with pytest.raises(UsageError, match="--out .*not replaced"):
            check_output(tmp_path / name, True, names)
