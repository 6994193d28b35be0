"""Processes that run model code."""
