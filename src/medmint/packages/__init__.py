"""Model packages: brought here, checked, unpacked, given an environment, and run."""
