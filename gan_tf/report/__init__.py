"""The report of a run, report.html, and what it is made of: facts read from the run folder, their words, charts.

    from gan_tf.report import write_report
    write_report(run)

`gan-tf runs` ranks by the same facts.
"""

from gan_tf.io.files import write_atomically
from gan_tf.report.page import page
from gan_tf.report.summary import read_summary


def report_html(run, walk=None) -> str:
    """The whole page for a run.Run: it needs no other file and no network.

    Args:
        walk: uint8 [H, W, 3], images on ways through the latents, a row for each; None: the page has none.
    """
    return page(read_summary(run), walk).encode(errors="replace").decode()  # JSON may hold halves of characters


def write_report(run):
    """Replaces the run's report.html.

    Records of older versions, damaged ones and damaged files are left out, and named where they are files.

    Raises:
        OSError: it cannot be written.
    """
    write_atomically(run.report, report_html(run).encode())
