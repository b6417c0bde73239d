"""HTML elements of the report: document and style sheet, tables, embedded images."""

import base64
import functools
import io
from html import escape

import numpy as np

from gan_tf.errors import UsageError
from gan_tf.io.files import raise_fault

# Light or dark as the system is; one column on a phone.
CSS = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b1f24; --dim: #5d6671; --edge: #dde1e6; --grid: #e7eaee;
  --s0: #2563c9; --s1: #b3541e; --s2: #2b8a57; --s3: #a3308a; --s4: #7a6a00;
  --copies: #8a3ffc; --warn: #b42318; --warn-page: #fdecea; --bar: #2563c9; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --card: #1d2126; --text: #e6e9ed; --dim: #9aa4b0; --edge: #323840; --grid: #2a3037;
  --s0: #77aaff; --s1: #f2a36b; --s2: #6fd39c; --s3: #f08ad8; --s4: #d9c64f;
  --copies: #c9a2ff; --warn: #ff9a8f; --warn-page: #3a1d1b; --bar: #77aaff; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px 16px 48px; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 10px; font-size: 1.1rem; }
h3 { margin: 0 0 4px; font-size: .95rem; font-weight: 600; }
p { margin: 0 0 10px; max-width: 75ch; }
.dim, figcaption, .none { color: var(--dim); }
.dim, figcaption { font-size: .875rem; }
section, .stat { margin-top: 16px; padding: 18px 20px; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; }
section > h3 { margin-top: 18px; }
.card h3 { margin: 14px 0 2px; }
.stats, .charts { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
.chart { max-width: 560px; }
.stats > *, .charts > * { min-width: 0; }
.stats { margin-top: 16px; }
.stat { margin: 0; }
.value { font-size: 1.45rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.stat p { margin: 6px 0 0; overflow-wrap: anywhere; }
.copies { white-space: nowrap; }
.warn { color: var(--warn); font-weight: 600; }
.warning { border-color: var(--warn); background: var(--warn-page); }
.warning p:last-child, section p:last-child { margin-bottom: 0; }
.bar { height: 8px; margin: 12px 0 6px; border-radius: 4px; background: var(--edge); overflow: hidden; }
.bar div { height: 100%; border-radius: 4px; background: var(--bar); }
figure { margin: 12px 0 0; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
figcaption { margin-top: 6px; }
.film { display: flex; gap: 12px; overflow-x: auto; scroll-snap-type: x proximity; padding-bottom: 8px; }
.film figure { flex: 0 0 min(240px, 70%); scroll-snap-align: start; margin-top: 4px; }
.film img { width: 100%; }
.scroll { overflow-x: auto; }
table { overflow-wrap: normal; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 18px 5px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--edge); }
th { color: var(--dim); font-weight: 500; white-space: nowrap; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
tr.best td { font-weight: 650; }
.text, code { overflow-wrap: anywhere; }
code { font: .9em/1.4 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
td code { white-space: nowrap; }
summary { cursor: pointer; font-weight: 600; }
details > :nth-child(2), details + details { margin-top: 12px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--dim); font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
svg .label { fill: var(--text); font-weight: 650; paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
.grid { stroke: var(--grid); stroke-width: 1; fill: none; }
.level { stroke: var(--dim); stroke-width: 1.2; stroke-dasharray: 5 4; fill: none; }
.s0 { --line: var(--s0); } .s1 { --line: var(--s1); } .s2 { --line: var(--s2); } .s3 { --line: var(--s3); }
.s4 { --line: var(--s4); } .shares { --line: var(--copies); }
.line { fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dot { fill: var(--line); }
.key { display: inline-block; margin-right: 14px; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; margin: 0 6px 3px 0;
  background: var(--line); }
.mark { fill: none; stroke: var(--text); stroke-width: 1.6; }
.lost { stroke: var(--warn); stroke-width: 1.6; fill: none; }
"""


def document(title, sections) -> str:
    """Returns an HTML page. The sections are HTML; empty ones are left out."""
    body = "\n".join(filter(None, sections))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def table(titles, rows, bold=()) -> str:
    """Returns a table that scrolls on a narrow screen. Cells are HTML; the rows of the `bold` indices are in bold."""
    kinds = [' class="number"' if title in ("kimg", "median ratio") else "" for title in titles]
    head = "".join(f"<th{kind}>{title}</th>" for kind, title in zip(kinds, titles, strict=True))
    lines = [f"<tr>{head}</tr>"] if titles else []
    for index, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds or [""] * len(row), row, strict=True))
        lines.append(f'<tr class="best">{cells}</tr>' if index in bold else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def figure(image, longest_side, description, caption) -> str:
    """Returns an image, embedded as WebP, with a caption; "" for None, and the error message for a damaged file.

    Args:
        image: path of a PNG file of the run, uint8 [H, W, 3], or None.
        longest_side: pixels; a larger image is shrunk.
        description: alternative text.
    """
    if image is None:
        return ""
    try:
        if isinstance(image, np.ndarray):
            source, width, height = _embed(image, longest_side)
        else:
            source, width, height = _embed_file(image, image.stat().st_mtime_ns, image.stat().st_size, longest_side)
    except (UsageError, OSError) as error:
        raise_fault(error, image)
        return f'<p class="warn">{escape(str(error))}</p>'
    return (
        f'<figure><img src="{source}" width="{width}" height="{height}" alt="{escape(description)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


@functools.lru_cache(64)  # training writes a report after every epoch, so files that did not change are kept encoded
def _embed_file(path, modified, size, longest_side):
    from gan_tf.io.image_files import read_png  # imports Pillow, which `gan-tf runs` does not need

    return _embed(read_png(path), longest_side)


def _embed(image, longest_side):
    """Returns (data URL, width, height) of uint8 [H, W, 3]."""
    from PIL import Image

    from gan_tf.io.image_files import shrink

    encoded = io.BytesIO()
    shrunk = Image.fromarray(np.ascontiguousarray(shrink(image, longest_side)))
    shrunk.save(encoded, format="WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode(), *shrunk.size
