"""The catalogue: records, their schema, the files they come from."""
