"""What scripts/bench measures, a room for each part; `scripts/bench.py` runs them."""
