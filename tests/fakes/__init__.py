"""Stand-ins for the services that tests cannot reach, over real HTTP on 127.0.0.1."""
