"""An exported file takes its name only once it is whole, and replaces nothing that no export made."""

import pytest

from gan_tf.errors import UsageError
from gan_tf.export.output import output, refuse_existing


def write(part, as_folder, content="new"):
    if as_folder:
        (part / "variables").mkdir(parents=True)
        (part / "saved_model.pb").write_text(content)
        (part / "variables" / "data").write_text(content)
    else:
        part.write_text(content)


def read(path):
    return (path / "saved_model.pb" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("as_folder", [False, True])
def test_it_appears_whole_and_replaces_an_older_one(tmp_path, as_folder):
    path = tmp_path / "new" / "file"
    for content in ("old", "new"):
        with output(path) as part:
            write(part, as_folder, content)
            assert not path.exists() or read(path) == "old"
        assert read(path) == content
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path, as_folder, old):
    path = tmp_path / "file"
    if old:
        write(path, as_folder, "old")
    with pytest.raises(KeyboardInterrupt), output(path) as part:
        write(part, as_folder)
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == (["file"] if old else [])
    assert not old or read(path) == "old"


def test_an_older_folder_comes_back_if_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    import os

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


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_is_there_is_refused_or_replaced(tmp_path, is_folder):
    path = tmp_path / "file"
    refuse_existing(path, False, is_folder)
    write(path, is_folder)
    with pytest.raises(UsageError, match="--overwrite"):
        refuse_existing(path, False, is_folder)
    refuse_existing(path, True, is_folder)


def test_what_no_export_made_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("photos", "link"):
        for is_folder in (False, True):
            with pytest.raises(UsageError, match="not replaced"):
                refuse_existing(tmp_path / name, True, is_folder)
