"""No command replaces or removes a file that it did not write, unless `--overwrite` is given."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MERGES = ("evaluate",)  # adds scores to those of the same run; other results are refused

# {command with its output: the files in its way}. RUN, IMAGE and PHOTOS exist; OUT is a path.
COMMANDS = {
    "generate RUN --seeds 3-5 --out OUT": ["OUT/seed-000005.png"],
    "generate RUN --seeds 3-5 --out OUT --grid": ["OUT-grid.png"],
    "generate RUN --seeds 3-5 --out OUT --best 1 --by pixels": ["OUT-best.png"],
    "generate RUN --seeds 3 --out OUT.zip": ["OUT.zip"],
    "generate RUN --seeds 3 --out OUT.npz": ["OUT.npz"],
    "interpolate RUN --out OUT.webp": ["OUT.webp"],
    "interpolate RUN --out OUT": ["OUT/frame-000002.png"],
    "interpolate RUN --rows --out OUT.png": ["OUT.png"],
    "style-mix RUN --out OUT.png": ["OUT.png"],
    "project RUN IMAGE --out OUT": ["OUT/latent.npz"],
    "neighbours RUN --out OUT.png": ["OUT.png"],
    "progress RUN --out OUT.gif": ["OUT.gif"],
    "progress RUN --out OUT": ["OUT/frame-000000.png"],
    "report RUN --out OUT.html": ["OUT.html"],
    "evaluate RUN --out OUT": ["OUT/scores.json"],
    "evaluate RUN --out OUT ": ["OUT/copies.png"],
    "augment-preview PHOTOS --out OUT.png": ["OUT.png"],
    "export RUN --format tflite --out OUT.tflite": ["OUT.tflite"],
    "export RUN --format saved_model --out OUT": ["OUT/saved_model.pb"],
    "export RUN --format saved_model --out OUT --overwrite": ["OUT/saved_model.pb", "OUT/notes.txt"],
    "export RUN --format saved_model --out OUT --report OUT.json": ["OUT.json"],
    "convert IMAGE OUT": ["OUT/mine.txt"],
    "crop-faces PHOTOS OUT.npz": ["OUT.npz"],
    "crop-faces PHOTOS OUT.npz ": ["OUT-sheet.png"],
    "crop-faces PHOTOS OUT": ["OUT-report.txt"],
    "crop-faces PHOTOS OUT ": ["OUT/mine.png"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_files_in_the_way_are_refused_and_stay(command, run, tmp_path, refused):
    (tmp_path / "photos").mkdir()
    paths = {"RUN": run.folder, "IMAGE": tmp_path / "a.png", "PHOTOS": tmp_path / "photos", "OUT": tmp_path / "out"}

    def filled(text):
        return re.sub("RUN|IMAGE|PHOTOS|OUT", lambda match: str(paths[match[0]]), text)

    foreign = [Path(filled(name)) for name in COMMANDS[command]]
    for path in (*foreign, paths["IMAGE"]):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    error = refused(*filled(command).split())
    assert any(str(path) in error or str(path.parent) in error for path in foreign)
    assert sorted(tmp_path.rglob("*")) == before and all(path.read_text() == "mine" for path in foreign)


def test_every_command_with_an_output_is_tested_and_has_overwrite():
    text = (ROOT / "docs" / "commands.md").read_text()
    sections = {section.split()[0]: section for section in re.split(r"\n## gan-tf ", text)[1:]}
    assert "generate" in sections
    writing = {name for name, section in sections.items() if re.search(r"`--out |`OUT`", section)}
    assert writing <= {command.split()[0] for command in COMMANDS}
    assert {name for name in writing if "--overwrite" not in sections[name]} == set(MERGES)
