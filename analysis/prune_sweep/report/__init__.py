"""The report: one HTML file with summary, tables, figures and all answers, for any browser."""

from prune_sweep.report.page import write_report

__all__ = ["write_report"]
