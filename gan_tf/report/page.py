"""The sections of the report. All text from files is escaped."""

import math
import shlex
from html import escape

from gan_tf.config.settings import stored_settings
from gan_tf.errors import UsageError
from gan_tf.metrics.score import number
from gan_tf.report.charts import loss_charts, score_charts
from gan_tf.report.elements import document, figure, table
from gan_tf.report.formatting import describe_protocol, format_count, format_kimg, format_share, format_value
from gan_tf.report.model_card import model_card

OPEN_ROWS = 20  # a longer table is collapsed
LARGE, SMALL = 1280, 384  # pixels of the longest side of an image over the full width, and of one in a row
MOST_GRIDS = 12  # sample grids of earlier image counts
MOST_CLASSES = 30  # names of classes


def render_page(summary, walk=None) -> str:
    """Returns the report of a RunSummary as HTML. `walk`: uint8 [H, W, 3], interpolations in rows, or None."""
    sections = [_head(summary), _problems(summary), _main_scores(summary), score_charts(summary), loss_charts(summary)]
    sections += [_samples(summary), _interpolation(walk), _copy_check(summary), _data(summary), _model_card(summary)]
    sections += [_snapshots(summary), _all_scores(summary), _events(summary), _settings(summary)]
    return document(summary.name, sections)


def _head(summary) -> str:
    """Name, model, data set and progress."""
    config, seen = summary.config, summary.images_seen
    about, bar, progress = [], "", f"{format_kimg(seen)} kimg seen (kimg: thousands of real images)"
    if config:
        about = [config.model, f"{config.resolution}x{config.resolution}"]
    if config and summary.converted_from:
        about, progress = [*about, f"converted from {summary.converted_from}"], ""
    elif config:
        about += [summary.dataset, f"{format_count(summary.data['images'])} images"]
        done = min(1.0, seen / config.total_images)
        kimg = f"{format_kimg(seen)} of {format_kimg(config.total_images)} kimg ({done:.0%})"
        progress = f"{kimg} seen (kimg: thousands of real images)"
        bar = f'<div class="bar"><div style="width:{100 * done:.1f}%"></div></div>'
    return (
        f'<header><h1>{escape(summary.name)}</h1><div class="dim">{escape(" · ".join(about))}</div>{bar}'
        f'<div class="dim">{progress}</div></header>'
    )


def _problems(summary) -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in summary.problems)
    return f'<section class="warning"><h2>Damaged files</h2>{lines}</section>' if lines else ""


def _main_scores(summary) -> str:
    """The best, the final and the newest score, each with its copies and its protocol."""
    best, newest = summary.best, summary.scores[-1] if summary.scores else None
    if best is None and summary.final is None and newest is None:
        hint = '<p class="dim">The first one comes at the end of a scored epoch.</p>'
        return "" if summary.converted_from else f"<section><h2>No score yet</h2>{hint}</section>"
    if newest and best and newest.images_seen == best.images_seen:
        newest = None
    known = describe_protocol(best.score) if best else None
    stats = [
        _stat("Best score", best, "These weights are the default of <code>gan-tf generate</code>."),
        _stat("Final score", summary.final, "The best weights, scored on images not used to choose them.", known),
        _stat("Newest score", newest, "The weights of the newest scored epoch.", known),
    ]
    return f'<div class="stats">{"".join(stats)}</div>'


def _stat(title, scored, note, known_protocol=None) -> str:
    """One score in large type; "" for None. `note` is HTML. The protocol is written out if it is not the known one."""
    if scored is None:
        return ""
    parts, protocol = _parts(scored.score), describe_protocol(scored.score)
    protocol = "Same protocol as the best score." if protocol == known_protocol else escape(protocol)
    return (
        f'<div class="stat"><h3>{title}</h3><div class="value">{escape(scored.score.text())}</div>'
        f"<div>{_copies(scored)} · {format_kimg(scored.images_seen)} kimg</div>"
        + (f'<p class="dim">{escape(parts)}</p>' if parts else "")
        + f'<p class="dim">{note}</p><p class="dim">{protocol}</p></div>'
    )


def _copies(scored) -> str:
    """The share of copies, which accompanies every score."""
    if scored.copies is None:
        return '<span class="copies dim">copies not recorded</span>'
    kind = "copies warn" if scored.has_many_copies else "copies"
    return f'<span class="{kind}">copies {format_share(scored.copies)}</span>'


def _parts(score) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in score.parts.items())


def _samples(summary) -> str:
    """The newest sample grid, and earlier ones in a row."""
    if not summary.grids:
        return ""
    from gan_tf.io.image_files import evenly_spaced  # imports Pillow, which `gan-tf runs` does not need

    grids = evenly_spaced(summary.grids, MOST_GRIDS)
    caption = f"The same seeds in every grid, not selected; the EMA generator at {summary.grids[-1][0] / 1000:g} kimg."
    newest = _file_figure(summary.grids[-1], "Generated images", caption)
    growth = _file_figure(summary.phases, "Growth", "Some of them at the end of each resolution, the smallest first.")
    small = [_file_figure(grid, f"At {grid[0]:,} images", f"{grid[0] / 1000:g} kimg", SMALL) for grid in grids]
    count = f"{len(grids)} of {len(summary.grids)} grids" if len(grids) < len(summary.grids) else "all grids"
    over = f'<h3>Over time: {count}</h3><div class="film" tabindex="0">{"".join(small)}</div>' if small[1:] else ""
    return f"<section><h2>Samples</h2>{newest}{growth}{over}</section>"


def _interpolation(walk) -> str:
    if walk is None:
        return ""
    shown = figure(walk, LARGE, "Interpolation", "Each row is an interpolation from one seed to another.")
    return f"<section><h2>Between two images</h2>{shown}</section>"


def _copy_check(summary) -> str:
    """Method and result of the newest copy check, with its image."""
    checked = [scored for scored in summary.scores if scored.copies is not None]
    if not checked:
        return ""
    newest = checked[-1]
    parts, share = newest.copy_parts, newest.share_among_reals
    below = f"below {number(newest.threshold)}" if newest.threshold is not None else "well below 1"
    results = [f"At {newest.kimg:g} kimg the share of copies is {format_share(newest.copies)}"]
    results += [f"the median ratio is {number(parts['median_ratio'])}"] if "median_ratio" in parts else []
    results += [f"the share among the training images is {format_share(share)}"] if share is not None else []
    text = (
        "Each generated image is compared with its nearest training image. Their distance is divided by the distance "
        "of that training image to its own nearest neighbour. The ratio is about 1 for a new image and near 0 for a "
        f"copy; an image with a ratio {below} counts as a copy. {', '.join(results)}."
    )
    text = escape(text).replace(" %", "&nbsp;%")  # else a line could begin with the sign
    warning = (
        '<p class="warn">Clearly more than among the training images: the generator repeats training images, so a good '
        "score is not a sign of quality.</p>"
        if newest.has_many_copies
        else ""
    )
    at = f" at {summary.panel[0] / 1000:g} kimg" if summary.panel else ""
    caption = (
        f"The closest pairs{at}: each generated image is above its nearest training image, with the ratio below. "
        "Copies have red frames."
    )
    shown = _file_figure(summary.panel, "Closest pairs of generated and training images", caption)
    return f"<section><h2>Copy check</h2><p>{text}</p>{warning}{shown}</section>"


def _file_figure(grid, description, caption, longest_side=LARGE) -> str:
    """The image of an (image count, path) pair; "" for None, the error message for a damaged file."""
    if grid is None:
        return ""
    try:
        return figure(grid[1], longest_side, description, caption)
    except (UsageError, OSError) as error:
        return f'<p class="warn">{escape(str(error))}</p>'


def _data(summary) -> str:
    config, data = summary.config, summary.data
    if config is None or summary.converted_from:
        return ""
    rows = [("Data set", summary.dataset), ("Images", format_count(data["images"]))]
    if names := data.get("class_names"):
        more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
        used = ", used as labels" if config.conditional else ""
        rows.append((f"{len(names)} classes{used}", ", ".join(map(str, names[:MOST_CLASSES])) + more))
    rows += [("Made square by", config.fit), ("Mirrored as well", "yes" if config.mirror else "no")]
    rows += [("Limited to", f"{config.limit} images")] if config.limit else []
    rows.append(("Fingerprint", format_value(data["fingerprint"])))
    cells = [[escape(name), f'<span class="text">{escape(value)}</span>'] for name, value in rows]
    return f"<section><h2>Data</h2>{table([], cells)}</section>"


def _model_card(summary) -> str:
    parts = [f"<h3>{escape(title)}</h3><p>{escape(text)}</p>" for title, text in model_card(summary)]
    return f'<section class="card"><h2>Model card</h2>{"".join(parts)}</section>' if parts else ""


def _snapshots(summary) -> str:
    """The snapshots, newest first, each with the command that generates images from it."""
    if not summary.snapshots:
        return ""
    folder, rows, best = shlex.quote(str(summary.folder)), [], []
    for i, kept in enumerate(reversed(summary.snapshots)):
        command = f"<code>{escape(f'gan-tf generate {folder} --which {kept.images_seen}')}</code>"
        rows.append([format_kimg(kept.images_seen), escape(kept.score.text()), _copies(kept), command])
        if summary.best and kept.images_seen == summary.best.images_seen:
            best.append(i)
    shown = table(["kimg", "score", "copies", "images from these weights"], rows, best)
    return f"<section><h2>Snapshots</h2>{shown}</section>"


def _all_scores(summary) -> str:
    """All scores of the run, newest first."""
    if not summary.scores:
        return ""
    best = (summary.best.images_seen, summary.best.score.value) if summary.best else None
    rows, bold = [], []
    for i, scored in enumerate(reversed(summary.scores)):
        ratio = scored.copy_parts.get("median_ratio")
        ratio, parts = (
            number(ratio) if ratio is not None else "",
            f'<span class="dim">{escape(_parts(scored.score))}</span>',
        )
        rows.append([format_kimg(scored.images_seen), escape(scored.score.text()), _copies(scored), ratio, parts])
        if (scored.images_seen, scored.score.value) == best:
            bold.append(i)
    shown = table(["kimg", "score", "copies", "median ratio", "more numbers"], rows, bold)
    is_open = " open" if len(rows) <= OPEN_ROWS else ""
    return f"<section><details{is_open}><summary>All {len(rows)} scores</summary>{shown}</details></section>"


def _events(summary) -> str:
    if not summary.events:
        return ""
    rows = [[format_kimg(event.images_seen), escape(event.text)] for event in summary.events]
    return f"<section><h2>Changes and rollbacks</h2>{table(['kimg', 'event'], rows)}</section>"


def _settings(summary) -> str:
    """Settings, data, versions and devices, collapsed."""
    settings = stored_settings(summary.config) if summary.config else {}
    groups = {"Settings": settings, "Data": summary.data, "Versions and devices": summary.environment}
    details = []
    for title, group in groups.items():
        rows = [[f"<code>{escape(str(name))}</code>", escape(_setting(value))] for name, value in group.items()]
        if rows:
            details.append(f"<details><summary>{title}</summary>{table([], rows)}</details>")
    return f"<section>{''.join(details)}</section>" if details else ""


def _setting(value) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return "-" if value is None else str(value)
