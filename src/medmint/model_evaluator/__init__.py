"""Judging synthetic images beside real ones: metrics, intervals and a report."""
