"""README.md, CONTRIBUTING.md and docs/: flags, commands, defaults, datasets, faults and links exist."""

import re
from pathlib import Path

import pytest

from gan_tf.cli.datasets import KNOWN_NAMES
from gan_tf.cli.main import COMMANDS
from gan_tf.config.settings import TrainConfig, flag

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
}
REFERENCE = PAGES["docs/commands.md"]  # tests/cli/test_help.py compares it with the commands
# Flags of tensorboard, pytest, the fuzzer and the benchmarks, and of npm.
OTHER_PROGRAMS = {"--help", "--logdir", "--dist", "--only", "--level", "--runs", "--names", "--smooth", "--values"}
OTHER_PROGRAMS |= {"--prefix", "--ignore-scripts", "--no-audit", "--no-fund"}


@pytest.mark.parametrize("name", PAGES)
def test_flags_and_commands_exist(name):
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*(?!\w)", PAGES[name]))
    assert mentioned - set(re.findall(r"--[\w-]+", REFERENCE)) <= OTHER_PROGRAMS
    assert set(re.findall(r"(?:`|^    )gan-tf ([a-z-]+)", PAGES[name], re.M)) <= set(COMMANDS)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files(name):
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGES[name]):
        assert ((ROOT / name).parent / target).exists(), target


def test_every_command_is_in_the_readme_or_a_guide():
    guides = "".join(text for name, text in PAGES.items() if text is not REFERENCE)
    assert {name for name in COMMANDS if f"gan-tf {name}" not in guides} == set()


def test_defaults_in_tables_are_those_of_the_settings():
    config = TrainConfig()
    defaults = {flag(name): value for name, value in vars(config).items()}
    defaults["--augment-policy"] = ",".join(config.policies)
    section = PAGES["docs/training.md"].partition("Settings of `train` that matter\n")[2].partition("\n#")[0]
    for name, text in re.findall(r"^\| `(--[\w-]+)` \| ([^|]+) \|", section, re.M):
        value = defaults[name]
        shown = f"{value:g}" if isinstance(value, float) else "on" if value is True else str(value)
        assert text.strip(" `") == shown.replace("None", "off"), name


def test_every_known_data_set_is_documented():
    text = "".join(PAGES.values())
    assert {name for name in KNOWN_NAMES if f"`{name}`" not in text} == set()
