"""Learning: data, pairs, edits, losses, the loop, and what came of it."""
