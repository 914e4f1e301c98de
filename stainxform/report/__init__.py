"""An evaluation as one HTML page that needs no network: pictures, maps of colors, tables, and what they mean in words."""

from stainxform.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
