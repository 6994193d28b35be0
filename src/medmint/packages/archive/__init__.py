"""Zip files, looked into before anything of them is written."""
