"""The command line: ``medmint COMMAND``, sub-commands over the facade."""
