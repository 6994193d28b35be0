"""Files that samples are written to."""
