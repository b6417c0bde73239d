"""The page's charts: scores, copies and losses over kimg, with the words that belong to each."""

from html import escape

from gan_tf.metrics.score import differences, number
from gan_tf.report import formatting
from gan_tf.report.chart import COLOURS, Mark, line_chart

LEAST_SHARE_AXIS = 0.1  # the axis of copies goes up to this at least, so that 0.1 % does not look like a mountain


def charts(facts) -> str:
    """Score and copies over kimg. Scores that cannot be compared share no line, other metrics no chart."""
    if not facts.scores:
        return ""
    segments = comparable_segments(facts.scores)
    names = dict.fromkeys(segment[0].score.name for segment in segments)
    drawn = [score_chart(facts, [part for part in segments if part[0].score.name == name]) for name in names]
    drawn.append(copies_chart(facts, segments))
    return f'<section><h2>Over the run</h2><div class="charts">{"".join(drawn)}</div></section>'


def score_chart(facts, segments) -> str:
    """One metric over kimg, a line for each of its segments, the best score pointed out."""
    lines = [[(scored.kimg, scored.score.value) for scored in segment] for segment in segments]
    name, best = segments[0][0].score.name, facts.best
    marks = []
    if best and any(best.score.comparable_with(segment[0].score) for segment in segments):
        marks.append(Mark(best.kimg, best.score.value, f"best {number(best.score.value)}", best.score.lower_is_better))
    right = max(facts.images_seen, best.images_seen if best else 0) / 1000
    chart = line_chart(lines, title=f"{name} over kimg", text=number, right=right, marks=marks)
    return f'<div class="chart"><h3>{escape(name)}</h3>{chart}{breaks(segments)}</div>'


def comparable_segments(scores):
    """Cuts scores wherever the way of measuring changes: a list of lists of Scored."""
    segments = []
    for scored in scores:
        if not segments or not scored.score.comparable_with(segments[-1][-1].score):
            segments.append([])
        segments[-1].append(scored)
    return segments


def breaks(segments) -> str:
    """Says why a metric has several lines. A network that grew has one for each size, which is one sentence for all."""
    texts, sizes = [], []
    for before, after in zip(segments, segments[1:], strict=False):
        old, new = (part.score.protocol.get("resolution") for part in (before[-1], after[0]))
        if old != new:
            sizes.append(f"at {new}x{new} from {after[0].kimg:g} kimg")
            continue
        why = ", ".join(differences(before[-1].score, after[0].score)) or "another metric in between"
        texts.append(f"From {after[0].kimg:g} kimg on measured otherwise ({why}): not comparable with before.")
    if sizes:
        first = segments[0][0].score.protocol.get("resolution")
        texts.insert(0, f"Scored at {first}x{first}, then {', '.join(sizes)}: scores of two sizes cannot be compared.")
    return "".join(f'<p class="dim">{escape(text)}</p>' for text in texts)


def copies_chart(facts, segments) -> str:
    """Share of copies over kimg, cut where the scores are: another metric may compare in another space."""
    lines = [[(scored.kimg, scored.copies) for scored in part if scored.copies is not None] for part in segments]
    lines = [line for line in lines if line]
    if not lines:
        return ""
    checked = [scored for scored in facts.scores if scored.copies is not None]
    expected = checked[-1].share_among_reals
    chart = line_chart(
        lines,
        title="share of copies over kimg",
        text=lambda value: f"{100 * value:.3g} %",
        level=expected,
        right=facts.images_seen / 1000,
        least_high=LEAST_SHARE_AXIS,
        colours=("shares",),
    )
    note = "Dashed: what the training images show among themselves." if expected is not None else ""
    return f'<div class="chart"><h3>copies</h3>{chart}<p class="dim">{note}</p></div>'


def losses(facts) -> str:
    """What training logs of itself: losses in view, the rest folded away."""
    groups = {}
    for name, line in facts.losses.items():
        groups.setdefault(name.partition("/")[0], []).append((name.partition("/")[2], line))
    drawn = {name: loss_chart(name, lines, facts.images_seen / 1000) for name, lines in groups.items()}
    if not drawn:
        return ""
    first = drawn.pop("loss", "")
    rest = f'<div class="charts">{"".join(drawn.values())}</div>'
    folded = f"<details><summary>Logits, gradients and the like</summary>{rest}</details>" if drawn else ""
    return f"<section><h2>Losses</h2>{first}{folded}</section>"


def loss_chart(name, lines, right) -> str:
    """The lines of one group, with a legend."""
    lines = lines[: len(COLOURS)]
    chart = line_chart([line for _, line in lines], title=f"{name} over kimg", text=number, right=right)
    keys = "".join(
        f'<span class="key {colour}">{escape(formatting.plain_name(label))}</span>'
        for (label, _), colour in zip(lines, COLOURS, strict=False)
    )
    return f'<div class="chart"><h3>{escape(name)}</h3>{chart}<p class="dim">{keys}</p></div>'
