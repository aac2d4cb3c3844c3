"""The rooms of scripts/bench_device."""
