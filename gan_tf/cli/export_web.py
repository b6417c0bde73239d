"""`gan-tf export RUN [RUN ...] --format web`: writes a web app that generates images on the user's device."""

import contextlib

from gan_tf.cli.export import accuracy_notes, difference_line, print_generator, run_name
from gan_tf.cli.quiet import stderr_buffered
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path
from gan_tf.io.progress import Progress
from gan_tf.io.shell import quote
from gan_tf.report.summary import read_score

MAX_TITLE = 60  # characters


def export_site(options, out) -> int:
    """Writes the folder `out`, compares its generators with Keras and prints a report. Returns the exit code."""
    from gan_tf.export.comparison import size_of
    from gan_tf.export.formats import check_output, output
    from gan_tf.export.web import site_names

    check_output(out, options.overwrite, site_names(out))
    with output(out) as part:
        write_app(options, part)
    print(f"{out}: {size_of(out) / 1e6:.1f} MB; to open it: gan-tf serve {quote(out)}")
    return 0


def write_app(options, site):
    """Writes the site of the options to the new folder `site`."""
    from gan_tf.export.comparison import SEEDS
    from gan_tf.export.network import FAST, folded
    from gan_tf.export.runtime import obtain_runtime
    from gan_tf.export.web import unique_ids, write_model, write_site
    from gan_tf.runs.folder import Run
    from gan_tf.runs.weights import load_generator

    generators = [load_generator(Run(user_path(run)), options.which) for run in options.runs]
    names = [run_name(run) for run in options.runs]
    title = names[0] if options.title is None else options.title.strip()
    if not 0 < len(title) <= MAX_TITLE:
        raise UsageError(f"--title (default: name of the run) has {len(title)} characters; give 1 to {MAX_TITLE}")
    runtime = obtain_runtime(options.runtime and user_path(options.runtime), options.offline)
    entries, icon = [], None
    for run, identifier, name, trained in zip(options.runs, unique_ids(names), names, generators, strict=True):
        score = read_score(trained.meta.get("score"))
        print_generator(run, options.which, trained, folded(trained, FAST), score)
        quiet = contextlib.nullcontext() if options.verbose else stderr_buffered()
        with quiet, Progress(SEEDS, "compared with Keras") as progress:
            entry, comparison, image_of_seed = write_model(
                site,
                trained,
                identifier,
                name,
                score=score and score.text(),
                licence=options.licence,
                advance=progress.advance,
            )
        print(report_text(comparison, entry))
        entries.append(entry)
        icon = image_of_seed(0) if icon is None else icon
    write_site(site, title, entries, icon, runtime)


def report_text(comparison, entry):
    """Returns the report of a generator as text."""
    sizes = [(size["width"], size["pixels"]) for size in entry["sizes"] if not size["scaled"]]
    texts = [str(height) if width == height else f"{width}x{height}" for width, height in sizes]
    lines = [
        f"  size        {comparison.bytes / 1e6:.2f} MB, float16",
        difference_line(comparison),
        f"  time        {comparison.ms_per_image:.1f} ms an image outside of a browser, {comparison.threads} threads",
        f"  sizes       {', '.join(texts)} pixels",
        *accuracy_notes(comparison),
    ]
    return "\n".join(lines)
