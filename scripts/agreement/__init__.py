"""What scripts/crosscheck compares; `scripts/crosscheck.py` runs it."""
