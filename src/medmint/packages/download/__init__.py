"""Downloads that are whole and verified, or not there."""
