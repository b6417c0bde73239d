"""Writes docs/commands.md from the `--help` of every command: `make docs`."""

import contextlib
import io
import os
import re
from pathlib import Path

from gan_tf.cli.main import COMMANDS, main
from gan_tf.config.settings import FAMILIES

PAGE = Path(__file__).with_name("commands.md")
BAR = "\\|"  # a vertical bar in a table
INTRODUCTION = """\
# Commands

This page is written by `make docs` from the `--help` of each command.

Flags can be written as `--batch-size 16` or `--batch-size=16`; switches as `--mirror` or `--no-mirror`.
A mistake in the arguments ends a command with one line and exit code 2.
"""


def help_of(*arguments):
    """Returns the text that `gan-tf ARGUMENTS --help` prints on a UTF-8 terminal of a fixed width."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "120"
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*arguments, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    printed.flush()
    return printed.buffer.getvalue().decode()


def description_of(text):
    """Returns the list of paragraphs between the usage and the first group of flags in a help text."""
    return text.partition("\n╭")[0].strip().split("\n\n")[1:]


def groups_of(text):
    """Returns the groups of flags in a help text, {title: [(flags, meaning, default)]}, without --help itself."""
    groups = {}
    for line in text.splitlines():
        if line.startswith("╭"):
            entries = groups.setdefault(line.strip("╭─╮ ").removesuffix("options").strip(), [])
        elif line.startswith("│"):
            flags, _, meaning = line.strip("│").removeprefix(" ").rstrip().partition("  ")
            if flags:
                entries.append([flags, meaning.strip()])
            else:  # the meaning of long flags is on the next line
                entries[-1][1] = f"{entries[-1][1]} {meaning.strip()}".strip()
    return {
        title: [(flags, *split_default(meaning)) for flags, meaning in entries if flags != "-h, --help"]
        for title, entries in groups.items()
        if entries != [["-h, --help", "show this help message and exit"]]
    }


def split_default(meaning):
    """Splits "length of the run (default: 400.0)" into ("length of the run", "400.0")."""
    match = re.fullmatch(r"(.*?) ?\((?:default: (.*)|(required))\)", meaning)
    if not match:
        return meaning, ""
    default = match[3] or match[2].removeprefix("''")
    return match[1], re.sub(r"(?<=\d), (?=\d)", ",", default)  # a long list of numbers was wrapped


def table(title, rows):
    """Returns a group of flags as a Markdown table."""
    lines = [f"**{title[:1].upper()}{title[1:]}**\n"] if title else []
    lines += ["| Argument | Default | Meaning |", "|---|---|---|"]
    for flags, meaning, default in rows:
        flags = re.sub(r" \{None\}\|", " ", flags)
        cells = (f"`{flags}`", f"`{default}`" if default else "", re.sub(r"([*_<])", r"\\\1", meaning))
        lines.append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |")
    return "\n".join(lines)


def by_family(values):
    """Returns the common value of the families, or "fastgan: A; pggan: B; stylegan2: C" if they differ."""
    if len(set(values)) == 1:
        return values[0]
    return "; ".join(f"{model}: {value}" for model, value in zip(FAMILIES, values, strict=True))


def train_tables():
    """Returns the tables of `train`: the settings of all families once, then those of each family."""
    groups = {model: groups_of(help_of("train", "--model", model)) for model in FAMILIES}
    general = [title for title in groups[FAMILIES[0]] if all(title in groups[model] for model in FAMILIES)]
    tables = []
    for title in general:
        rows = []
        for entries in zip(*(groups[model][title] for model in FAMILIES), strict=True):
            flags, meanings, defaults = zip(*entries, strict=True)
            name, meaning = flags[0].partition(" ")[0], meanings[0]
            if len(set(flags)) > 1:  # another list of choices for each family
                meaning += "; " + by_family([each.partition(" ")[2].strip("{}").replace(",", ", ") for each in flags])
                flags = [name]
            rows.append((flags[0], meaning, FAMILIES[0] if name == "--model" else by_family(defaults)))
        tables.append(table(title, rows))
    for model in FAMILIES:
        tables += [table(title, rows) for title, rows in groups[model].items() if title not in general]
    return tables


def page():
    """Returns the whole page as Markdown."""
    parts = [INTRODUCTION, "\n".join(f"- [`gan-tf {name}`](#gan-tf-{name}): {COMMANDS[name]}" for name in COMMANDS)]
    for name in COMMANDS:
        text = help_of(name)
        parts += [f"## gan-tf {name}", *description_of(text)]
        if name == "train":
            del parts[-2]  # a paragraph about the family that --help shows
            parts += train_tables()
        else:
            parts.append(table("", sum(groups_of(text).values(), [])))
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
