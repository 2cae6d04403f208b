"""The bytes of one connection: who waits, who sends, and whom to trust. Knows no calls."""
