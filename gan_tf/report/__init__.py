"""The report of a run: report.html.

from gan_tf.report import write_report
write_report(run)
"""

from gan_tf.io.files import write_atomically
from gan_tf.report.page import render_page
from gan_tf.report.summary import read_summary


def report_html(run, walk=None) -> str:
    """Returns the report of a Run as one HTML page that needs no other file and no network.

    Args:
        walk: uint8 [H, W, 3], a grid with an interpolation in each row, or None.
    """
    page = render_page(read_summary(run), walk)
    return page.encode(errors="replace").decode()  # JSON may contain lone surrogates, which cannot be encoded


def write_report(run):
    """Replaces report.html of a Run. Damaged files are listed in the report; damaged records are left out.

    Raises:
        OSError: report.html cannot be written.
    """
    write_atomically(run.report, report_html(run).encode())
