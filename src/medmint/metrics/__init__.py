"""Measures of how close synthetic images come to real ones."""
