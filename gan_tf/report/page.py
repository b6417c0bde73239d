"""The page: facts in, one HTML string out. Every word that comes from a file goes through `escape`."""

import math
import shlex
from html import escape

from gan_tf.config.settings import stored_settings
from gan_tf.errors import UsageError
from gan_tf.metrics.score import number
from gan_tf.report import card, formatting
from gan_tf.report.curves import charts, losses
from gan_tf.report.embed import embedded, embedded_array
from gan_tf.report.style import CSS

OPEN_ROWS = 20  # a longer table is folded away
LARGE, SMALL = 1280, 384  # pixels of the longest side of a picture that fills the page, and of one among several
MOST_MOMENTS = 12  # sample grids that are shown of a run
MOST_NAMES = 30  # names of classes that are told


def page(facts, walk=None) -> str:
    """The report of a run, from facts.RunSummary.

    Args:
        walk: uint8 [H, W, 3], ways through the latents, a row for each; None: the page has none.
    """
    parts = [head(facts), problems(facts), best_scores(facts), charts(facts), losses(facts), samples(facts)]
    parts += [interpolation(facts, walk), copy_check(facts), data(facts), model_card(facts)]
    parts += [snapshots(facts), all_scores(facts), events(facts), settings(facts)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(facts.name)}</title><style>{CSS}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def head(facts) -> str:
    """Name, what is trained on what, and how far it is."""
    config, seen = facts.config, facts.images_seen
    about, bar, progress = [], "", f"{formatting.kimg(seen)} kimg seen (kimg: thousands of real images)"
    if config:
        about = [config.model, f"{config.resolution}x{config.resolution}"]
    if config and facts.converted_from:
        about, progress = [*about, f"converted from {facts.converted_from}"], ""
    elif config:
        images = facts.data.get("images")
        about += [facts.dataset, *([f"{formatting.count(images)} images"] if images is not None else [])]
        done = min(1.0, seen / config.total_images)
        progress = (
            f"{formatting.kimg(seen)} of {formatting.kimg(config.total_images)} kimg ({done:.0%}) seen "
            "(kimg: thousands of real images)"
        )
        bar = f'<div class="bar"><div style="width:{100 * done:.1f}%"></div></div>'
    return (
        f'<header><h1>{escape(facts.name)}</h1><div class="dim">{escape(" · ".join(about))}</div>{bar}'
        f'<div class="dim">{progress}</div></header>'
    )


def problems(facts) -> str:
    """Files that could not be read."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in facts.problems)
    return f'<section class="warning"><h2>Damaged files</h2>{lines}</section>' if lines else ""


def best_scores(facts) -> str:
    """The best score, the last one and the final one, each with its copies and its protocol."""
    newest = facts.scores[-1] if facts.scores else None
    if facts.best is None and facts.final is None and newest is None:
        if facts.converted_from:
            return ""
        words_of_it = "The first one comes at the end of a scored epoch."
        return f'<section><h2>No score yet</h2><p class="dim">{words_of_it}</p></section>'
    same = newest and facts.best and newest.images_seen == facts.best.images_seen
    how = [formatting.describe_protocol(facts.best.score)] if facts.best else []
    stats = [
        stat("Best score", facts.best, "The weights that <code>gan-tf generate</code> uses."),
        stat("Final score", facts.final, "The best weights once more, on images that did not help to pick them.", how),
        "" if same else stat("Newest score", newest, "The weights of the newest scored epoch.", how),
    ]
    return f'<div class="stats">{"".join(stats)}</div>'


def stat(title, scored, what, told=()) -> str:
    """One score, large; empty if there is none. `what` is HTML. Protocols that were `told` before are not again."""
    if scored is None:
        return ""
    parts, how = parts_text(scored.score), formatting.describe_protocol(scored.score)
    return (
        f'<div class="stat"><h3>{title}</h3><div class="value">{escape(scored.score.text())}</div>'
        f"<div>{copies_text(scored)} · {formatting.kimg(scored.images_seen)} kimg</div>"
        + (f'<p class="dim">{escape(parts)}</p>' if parts else "")
        + f'<p class="dim">{what}</p><p class="dim">{"Measured as the best." if how in told else escape(how)}</p></div>'
    )


def copies_text(scored) -> str:
    """The share of copies as it stands beside a score, as HTML."""
    if scored.copies is None:
        return '<span class="copies dim">copies not recorded</span>'
    kind = "copies warn" if scored.copies_much else "copies"
    return f'<span class="{kind}">copies {formatting.share(scored.copies)}</span>'


def parts_text(score) -> str:
    """Further numbers of a score: "precision 0.7, recall 0.2"."""
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in score.parts.items())


def copy_check(facts) -> str:
    """What the newest copy check found, with its picture."""
    checked = [scored for scored in facts.scores if scored.copies is not None]
    if not checked:
        return ""
    newest = checked[-1]
    warning = (
        '<p class="warn">Clearly more than the training images show among themselves: the generator draws training '
        "images over again, and a good score is then no merit.</p>"
        if newest.copies_much
        else ""
    )
    shown = picture(facts.panel, "Closest pairs of generated and training images", panel_words(facts))
    told = escape(copy_words(newest)).replace(" %", "&nbsp;%")  # or a line would begin with the sign
    return f"<section><h2>Copy check</h2><p>{told}</p>{warning}{shown}</section>"


def copy_words(scored) -> str:
    """What the check did, and what it found."""
    parts = scored.copy_parts
    below = f"below {number(scored.threshold)}" if scored.threshold is not None else "well below 1"
    found = [f"At {scored.kimg:g} kimg the share of copies is {formatting.share(scored.copies)}"]
    if "median_ratio" in parts:
        found.append(f"the median ratio is {number(parts['median_ratio'])}")
    if scored.share_among_reals is not None:
        found.append(f"the training images show {formatting.share(scored.share_among_reals)} among themselves")
    return (
        "Each generated image is compared with the training image nearest to it; their distance is divided by how far "
        "that training image is from its own nearest neighbour. A ratio around 1 is a new image, near 0 a copy; "
        f"{below} it counts as one. {', '.join(found)}."
    )


def panel_words(facts) -> str:
    """The caption of the newest panel."""
    at = f", at {facts.panel[0] / 1000:g} kimg" if facts.panel else ""
    return (
        f"The closest pairs{at}: a generated image above, the training image nearest to it below, "
        "the ratio under both. Red frames are copies."
    )


def samples(facts) -> str:
    """The newest sample grid, and those before it."""
    if not facts.grids:
        return ""
    from gan_tf.io.image_files import evenly_spaced  # here: `gan-tf runs` needs no Pillow

    caption = f"The same seeds in every grid, not picked; the averaged generator at {facts.grids[-1][0] / 1000:g} kimg."
    newest = picture(facts.grids[-1], "Generated images", caption)
    growth = picture(facts.phases, "Growth", "A few of them at the end of each size, from the smallest.")
    moments = evenly_spaced(facts.grids, MOST_MOMENTS)
    shown = [picture(moment, f"At {moment[0]:,} images", f"{moment[0] / 1000:g} kimg", SMALL) for moment in moments]
    told = f"{len(moments)} of {len(facts.grids)} moments" if len(moments) < len(facts.grids) else "all moments"
    over = f'<h3>Over time: {told}</h3><div class="film" tabindex="0">{"".join(shown)}</div>' if shown[1:] else ""
    return f"<section><h2>Samples</h2>{newest}{growth}{over}</section>"


def interpolation(facts, walk) -> str:
    """Ways through the latents."""
    if walk is None:
        return ""
    shown = figure(*embedded_array(walk, LARGE), "Interpolation", "A row for each way from one seed to the next.")
    return f"<section><h2>Between two images</h2>{shown}</section>"


def picture(moment, description, caption, longest_side=LARGE) -> str:
    """A picture of the run folder, written into the page; empty if there is none, words in place of a damaged one."""
    if moment is None:
        return ""
    try:
        return figure(*embedded(moment[1], longest_side), description, caption)
    except UsageError as error:
        return f'<p class="warn">{escape(str(error))}</p>'


def figure(source, width, height, description, caption) -> str:
    """An image that is held by its own address."""
    return (
        f'<figure><img src="{source}" width="{width}" height="{height}" alt="{escape(description)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def data(facts) -> str:
    """What the run was trained on."""
    config, known = facts.config, facts.data
    if facts.converted_from:
        return ""  # the model card says so
    rows = [["Data set", facts.dataset]] if config else []
    rows += [["Images", formatting.count(known["images"])]] if "images" in known else []
    names = known.get("class_names")
    if isinstance(names, list) and names:
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        learnt = ", learnt" if config and config.conditional else ""
        rows.append([f"{len(names)} classes{learnt}", ", ".join(map(str, names[:MOST_NAMES])) + more])
    if config:
        rows += [["Made square by", config.fit], ["Mirrored too", "yes" if config.mirror else "no"]]
        rows += [["Used at most", f"{config.limit} images"]] if config.limit else []
    rows += [["Fingerprint", formatting.shown(known["fingerprint"])]] if "fingerprint" in known else []
    if not rows:
        return ""
    shown = table([], [[escape(name), f'<span class="text">{escape(value)}</span>'] for name, value in rows])
    return f"<section><h2>Data</h2>{shown}</section>"


def model_card(facts) -> str:
    """The model card."""
    parts = [f"<h3>{escape(title)}</h3><p>{escape(text)}</p>" for title, text in card.card(facts)]
    return f'<section class="card"><h2>Model card</h2>{"".join(parts)}</section>' if parts else ""


def snapshots(facts) -> str:
    """The weights that were kept, and how to use them."""
    if not facts.snapshots:
        return ""
    folder = shlex.quote(str(facts.folder))
    rows = [
        [
            formatting.kimg(kept.images_seen),
            escape(kept.score.text()),
            copies_text(kept),
            f"<code>{escape(f'gan-tf generate {folder} --which {kept.images_seen}')}</code>",
        ]
        for kept in reversed(facts.snapshots)
    ]
    best = [facts.best is not None and kept.images_seen == facts.best.images_seen for kept in reversed(facts.snapshots)]
    shown = table(["kimg", "score", "copies", "images from these weights"], rows, best)
    return f"<section><h2>Snapshots</h2>{shown}</section>"


def all_scores(facts) -> str:
    """Every score of the run, newest first."""
    if not facts.scores:
        return ""
    best = (facts.best.images_seen, facts.best.score.value) if facts.best else None
    rows, marked = [], []
    for scored in reversed(facts.scores):
        ratio = scored.copy_parts.get("median_ratio")
        rows.append(
            [
                formatting.kimg(scored.images_seen),
                escape(scored.score.text()),
                copies_text(scored),
                number(ratio) if ratio is not None else "",
                f'<span class="dim">{escape(parts_text(scored.score))}</span>',
            ]
        )
        marked.append((scored.images_seen, scored.score.value) == best)
    shown = table(["kimg", "score", "copies", "median ratio", "further numbers"], rows, marked)
    opened = " open" if len(rows) <= OPEN_ROWS else ""
    return f"<section><details{opened}><summary>All {len(rows)} scores</summary>{shown}</details></section>"


def events(facts) -> str:
    """Changes of settings and roll-backs."""
    if not facts.events:
        return ""
    rows = [[formatting.kimg(event.images_seen), escape(event.text)] for event in facts.events]
    return f"<section><h2>Changes and roll-backs</h2>{table(['kimg', 'what happened'], rows)}</section>"


def settings(facts) -> str:
    """Settings, the data's fingerprint, versions and devices; folded away."""
    values = stored_settings(facts.config) if facts.config else {}
    groups = {"Settings": values, "Data": facts.data, "Versions and devices": facts.environment}
    parts = []
    for title, group in groups.items():
        rows = [[f"<code>{escape(str(name))}</code>", escape(plain(value))] for name, value in group.items()]
        if rows:
            shown = table([], rows)
            parts.append(f"<details><summary>{title}</summary>{shown}</details>")
    return f"<section>{''.join(parts)}</section>" if parts else ""


def plain(value) -> str:
    """A value of a settings file for people."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return "-" if value is None else str(value)


def table(titles, rows, best=()) -> str:
    """An HTML table that scrolls by itself on a narrow screen. Cells are HTML; kimg columns are set as numbers."""
    numeric = {column for column, title in enumerate(titles) if title in ("kimg", "median ratio")}
    kinds = [' class="number"' if column in numeric else "" for column in range(max(map(len, [titles, *rows])))]
    top = "".join(f"<th{kind}>{title}</th>" for kind, title in zip(kinds, titles, strict=False))
    lines = [f"<tr>{top}</tr>"] if titles else []
    for index, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))
        lines.append(f'<tr class="best">{cells}</tr>' if index < len(best) and best[index] else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'
