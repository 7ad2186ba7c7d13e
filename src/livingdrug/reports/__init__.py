"""Reports: a trial's outcome as one page to read, show and print."""

from livingdrug.reports.page import Report, report

__all__ = ["Report", "report"]
