"""Files of weights, looked into without loading them."""
