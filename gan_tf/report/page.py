"""Builds the report page, section by section. All text from files is escaped.

Source: the headings of the model card follow Mitchell et al. 2019 (Model Cards for Model Reporting).
"""

import math
from html import escape

from gan_tf.config.settings import stored_settings
from gan_tf.io.files import write_atomically
from gan_tf.io.shell import quote
from gan_tf.metrics.score import number
from gan_tf.report.charts import loss_charts, score_charts
from gan_tf.report.elements import document, figure, table
from gan_tf.report.summary import describe_protocol, format_kimg, format_share, format_value, read_summary

CHANNELS = {"rgb": "RGB", "grey": "greyscale", "rgba": "RGBA"}
OPEN_ROWS = 20  # a longer table is collapsed
LARGE, SMALL = 1280, 384  # pixels of the longest side of an image over the full width, and of one in a row
MOST_GRIDS = 12  # sample grids of earlier image counts
MOST_CLASSES = 30  # names of classes
FAMILIES = {
    "fastgan": "FastGAN (Liu et al. 2021)",
    "pggan": "Progressive GAN (Karras et al. 2018)",
    "stylegan2": "StyleGAN2-ADA (Karras et al. 2020)",
}
FITS = {"crop": "cropped at the centre", "pad": "padded", "stretch": "stretched"}


def report_html(run, walk=None) -> str:
    """Returns the report of a Run as one HTML page that needs no other file and no network.

    Args:
        walk: uint8 [H, W, 3], a grid with an interpolation in each row, or None.
    """
    summary = read_summary(run)
    walk_figure = figure(walk, LARGE, "Interpolation", "Each row is an interpolation from one seed to another.")
    problems = "".join(f"<p>{escape(line)}</p>" for line in summary.problems)
    events = [[format_kimg(seen), escape(text)] for seen, text in summary.events]
    sections = [
        _head(summary),
        f'<section class="warning"><h2>Damaged files</h2>{problems}</section>' if problems else "",
        _main_scores(summary),
        score_charts(summary),
        loss_charts(summary),
        _samples(run),
        f"<section><h2>Between two images</h2>{walk_figure}</section>" if walk_figure else "",
        _copy_check(summary, run),
        _data(summary) if summary.config and not summary.converted_from else "",
        _model_card(summary) if summary.config else "",
        _snapshots(summary) if summary.snapshots else "",
        _all_scores(summary) if summary.scores else "",
        f"<section><h2>Changes and rollbacks</h2>{table(['kimg', 'event'], events)}</section>" if events else "",
        _settings(summary),
    ]
    # JSON may contain lone surrogates, which cannot be encoded.
    return document(summary.name, sections).encode(errors="replace").decode()


def write_report(run):
    """Replaces report.html of a Run. Damaged files are listed in the report; damaged records are left out.

    Raises:
        OSError: report.html cannot be written.
    """
    write_atomically(run.report, report_html(run).encode(errors="backslashreplace"))


def _head(summary) -> str:
    """Name, model, dataset and progress."""
    config, seen = summary.config, summary.images_seen
    about = [config.model, config.size_text] if config else []
    bar, kimg = "", f"{format_kimg(seen)} kimg"
    if config and summary.converted_from:
        about.append(f"converted from {summary.converted_from}")
    elif config:
        about += [summary.dataset, f"{summary.data['images']:,} images"]
        done = min(1.0, seen / config.total_images)
        kimg = f"{format_kimg(seen)} of {format_kimg(config.total_images)} kimg ({done:.0%})"
        bar = f'<div class="bar"><div style="width:{100 * done:.1f}%"></div></div>'
    progress = "" if summary.converted_from else f"{kimg} seen (kimg: thousands of real images)"
    return (
        f'<header><h1>{escape(summary.name)}</h1><div class="dim">{escape(" · ".join(about))}</div>{bar}'
        f'<div class="dim">{progress}</div></header>'
    )


def _main_scores(summary) -> str:
    """The best, the final and the newest score in large type, each with its share of copies and its protocol."""
    best, newest = summary.best, summary.scores[-1] if summary.scores else None
    if best is None and summary.final is None and newest is None:
        hint = '<p class="dim">The first one comes at the end of a scored epoch.</p>'
        return "" if summary.converted_from else f"<section><h2>No score yet</h2>{hint}</section>"
    if newest and best and newest.images_seen == best.images_seen:
        newest = None
    stats = ""
    for title, scored, note in (
        ("Best score", best, "These weights are the default of <code>gan-tf generate</code>."),
        ("Final score", summary.final, "The best weights, scored on images not used to choose them."),
        ("Newest score", newest, "The weights of the newest scored epoch."),
    ):
        if scored is None:
            continue
        parts, protocol = _parts(scored.score), describe_protocol(scored.score)
        if best and scored is not best and protocol == describe_protocol(best.score):
            protocol = "Same protocol as the best score."
        texts = [*([escape(parts)] if parts else []), note, escape(protocol)]
        stats += (
            f'<div class="stat"><h3>{title}</h3><div class="value">{escape(scored.score.text())}</div>'
            f"<div>{_copies(scored)} · {format_kimg(scored.images_seen)} kimg</div>"
            + "".join(f'<p class="dim">{text}</p>' for text in texts)
            + "</div>"
        )
    return f'<div class="stats">{stats}</div>'


def _copies(scored) -> str:
    """The share of copies, shown next to every score."""
    if scored.copies is None:
        return '<span class="copies dim">copies not recorded</span>'
    kind = "copies warn" if scored.has_many_copies else "copies"
    return f'<span class="{kind}">copies {format_share(scored.copies)}</span>'


def _parts(score) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in score.parts.items())


def _samples(run) -> str:
    """The newest sample grid, and earlier ones in a row."""
    grids = run.grids()
    if not grids:
        return ""
    from gan_tf.io.image_files import evenly_spaced  # imports Pillow, which `gan-tf runs` does not need

    caption = f"The same seeds in every grid, not selected; the EMA generator at {grids[-1][0] / 1000:g} kimg."
    newest = figure(grids[-1][1], LARGE, "Generated images", caption)
    caption = "Some of them at the end of each resolution, the smallest first."
    growth = figure(run.newest_grid("phases"), LARGE, "Growth", caption)
    shown = evenly_spaced(grids, MOST_GRIDS)
    small = [figure(path, SMALL, f"At {seen:,} images", f"{seen / 1000:g} kimg") for seen, path in shown]
    count = f"{len(shown)} of {len(grids)} grids" if len(shown) < len(grids) else "all grids"
    over = f'<h3>Over time: {count}</h3><div class="film" tabindex="0">{"".join(small)}</div>' if small[1:] else ""
    return f"<section><h2>Samples</h2>{newest}{growth}{over}</section>"


def _copy_check(summary, run) -> str:
    """Method and result of the newest copy check, with its image."""
    checked = [scored for scored in summary.scores if scored.copies is not None]
    if not checked:
        return ""
    newest = checked[-1]
    parts, share, threshold = newest.copy_parts, newest.share_among_reals, newest.copy_protocol.get("threshold")
    below = f"below {number(threshold)}" if isinstance(threshold, int | float) else "well below 1"
    results = [f"At {newest.kimg:g} kimg the share of copies is {format_share(newest.copies)}"]
    results += [f"the median ratio is {number(parts['median_ratio'])}"] if "median_ratio" in parts else []
    results += [f"the share among the training images is {format_share(share)}"] if share is not None else []
    text = (
        "Each generated image is compared with its nearest training image. Their distance is divided by the distance "
        "of that training image to its own nearest neighbour. The ratio is about 1 for a new image and near 0 for a "
        f"copy; an image with a ratio {below} counts as a copy. {', '.join(results)}."
    )
    text = escape(text).replace(" %", "&nbsp;%")  # else a line could begin with the sign
    warning = ""
    if newest.has_many_copies:
        warning = (
            '<p class="warn">Clearly more than among the training images: the generator repeats training images, so a '
            "good score is not a sign of quality.</p>"
        )
    shown = ""
    for seen, path in run.grids("copies")[-1:]:
        caption = (
            f"The closest pairs at {seen / 1000:g} kimg: each generated image is above its nearest training image, "
            "with the ratio below. Copies have red frames."
        )
        shown = figure(path, LARGE, "Closest pairs of generated and training images", caption)
    return f"<section><h2>Copy check</h2><p>{text}</p>{warning}{shown}</section>"


def _data(summary) -> str:
    config, data = summary.config, summary.data
    rows = [("Dataset", summary.dataset), ("Images", f"{data['images']:,}")]
    if names := data.get("class_names"):
        more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
        used = ", used as labels" if config.conditional else ""
        rows.append((f"{len(names)} classes{used}", ", ".join(names[:MOST_CLASSES]) + more))
    rows += [("Fitted by", config.fit), ("Mirrored as well", "yes" if config.mirror else "no")]
    rows += [("Limited to", f"{config.limit} images")] if config.limit else []
    rows.append(("Fingerprint", format_value(data["fingerprint"])))
    cells = [[escape(name), f'<span class="text">{escape(value)}</span>'] for name, value in rows]
    return f"<section><h2>Data</h2>{table([], cells)}</section>"


def _model_card(summary) -> str:
    """Use, data, scores, limits and rights of the generator."""
    config, origin = summary.config, summary.converted_from
    source = "the training images of its weights" if origin else f"the images of {summary.dataset}"
    final, best = summary.final, summary.best
    scored = final if final and final.copies is not None else best
    warning = ""
    if scored and scored.has_many_copies:
        warning = (
            " This one repeats training images: read the copy check before you publish an image, above all if the "
            "training images are private or not yours."
        )
    model, training_data = _model_and_data(summary)
    parts = {
        "Model": model,
        "Intended use": (
            f"It generates images like {source}: for study, as material for design, and as a start for further "
            "training. Its images are no evidence of anything that exists, and should not be shown as photographs. "
            f"Images are chosen {'by seed and class' if config.conditional else 'by seed'}, not by text."
        ),
        "Training data": training_data,
        "Evaluation": _evaluation(summary),
        "Limits and risks": (
            "A generator that was trained on few images may repeat them, miss whole kinds of them, and reproduce their "
            f"biases.{warning} Scores of different protocols are not comparable. Generated faces may resemble people "
            "in the training images."
        ),
        "Rights": (
            "The program is under Apache-2.0. The weights were learned from the training images: their owners and the "
            "law decide what may be done with the weights and with generated images."
            + (f" The licence of {origin} also applies." if origin else "")
        ),
    }
    text = "".join(f"<h3>{title}</h3><p>{escape(part)}</p>" for title, part in parts.items())
    return f'<section class="card"><h2>Model card</h2>{text}</section>'


def _model_and_data(summary) -> tuple[str, str]:
    """Describes the networks with their training, and the training images."""
    config, data, origin = summary.config, summary.data, summary.converted_from
    version = summary.environment.get("gan_tf")
    program = f" with gan_tf {version}" if isinstance(version, str) else ""
    bias = "The generator reproduces the biases of those images."
    kind = (
        f"A generator of {CHANNELS[config.channels]} images of {config.size_text} pixels: {FAMILIES[config.model]}, "
        f"with latents of {config.latent_size} numbers."
    )
    if origin:
        made = f"Its weights were converted{program} from {origin}; their training is not recorded here."
        return f"{kind} {made}", f"Not recorded here: see the publisher of {origin}. {bias}"
    made = (
        f"It was trained{program} for {format_kimg(summary.images_seen)} thousand images, with the loss {config.loss} "
        f"and the seed {config.seed}."
    )
    if summary.best:
        made += f" The best score has the weights of {format_kimg(summary.best.images_seen)} kimg."
    classes = f" in {len(data['class_names'])} classes" if data.get("class_names") else ""
    mirrored = ", also mirrored left to right" if config.mirror else ""
    images = f"{summary.dataset}: {data['images']:,} images{classes}, {FITS[config.fit]}{mirrored}."
    return f"{kind} {made}", f"{images} {bias}"


def _evaluation(summary) -> str:
    scored = summary.final or summary.best
    if scored is None:
        return "It has not been scored yet." if not summary.converted_from else "It has not been scored here."
    new_images = " on images that were not used to choose the weights" if summary.final else ""
    checked = scored if scored.copies is not None else summary.best
    copies = "The copy check was not recorded."
    if checked is not None and checked.copies is not None:
        share = checked.share_among_reals
        among = f"; among the training images themselves it is {format_share(share)}" if share is not None else ""
        copies = f"Of its images, {format_share(checked.copies)} count as copies of a training image{among}."
    return f"{scored.score.text()}{new_images}. {describe_protocol(scored.score)} {copies}"


def _snapshots(summary) -> str:
    """The snapshots, newest first, each with the command that generates images from it."""
    rows, best = [], []
    for i, kept in enumerate(reversed(summary.snapshots)):
        command = f"gan-tf generate {quote(summary.folder)} --which {kept.images_seen}"
        rows.append(
            [format_kimg(kept.images_seen), escape(kept.score.text()), _copies(kept), f"<code>{escape(command)}</code>"]
        )
        if summary.best and kept.images_seen == summary.best.images_seen:
            best.append(i)
    shown = table(["kimg", "score", "copies", "images from these weights"], rows, best)
    return f"<section><h2>Snapshots</h2>{shown}</section>"


def _all_scores(summary) -> str:
    """All scores of the run, newest first."""
    best, rows, bold = summary.best, [], []
    for i, scored in enumerate(reversed(summary.scores)):
        ratio = number(scored.copy_parts["median_ratio"]) if "median_ratio" in scored.copy_parts else ""
        parts = f'<span class="dim">{escape(_parts(scored.score))}</span>'
        rows.append([format_kimg(scored.images_seen), escape(scored.score.text()), _copies(scored), ratio, parts])
        if best and (scored.images_seen, scored.score.value) == (best.images_seen, best.score.value):
            bold.append(i)
    shown = table(["kimg", "score", "copies", "median ratio", "more numbers"], rows, bold)
    is_open = " open" if len(rows) <= OPEN_ROWS else ""
    return f"<section><details{is_open}><summary>All {len(rows)} scores</summary>{shown}</details></section>"


def _settings(summary) -> str:
    """Settings, data, versions and devices, collapsed."""
    settings = stored_settings(summary.config) if summary.config else {}
    details = ""
    groups = {"Settings": settings, "Data": summary.data, "Versions and devices": summary.environment}
    for title, group in groups.items():
        rows = [[f"<code>{escape(str(name))}</code>", escape(_setting(value))] for name, value in group.items()]
        details += f"<details><summary>{title}</summary>{table([], rows)}</details>" if rows else ""
    return f"<section>{details}</section>" if details else ""


def _setting(value) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return "-" if value is None else str(value)
