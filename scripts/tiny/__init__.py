"""Makes the bundled model: writes dialogues, trains on them, scores the result."""
