"""The report of a run: report.html.

from gan_tf.report import write_report
write_report(run)
"""

from gan_tf.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
