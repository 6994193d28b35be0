"""The version, read from the installed package so that it stands in one place."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("medmint")
except PackageNotFoundError:
    # Run from a source tree that was never installed.
    __version__ = "0+unknown"
