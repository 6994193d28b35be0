"""Small packages and records that tests run."""
