"""Finding and ranking models."""
