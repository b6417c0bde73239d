"""The report of a run: `write_report(run)` writes report.html into its folder."""

from gan_tf.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
