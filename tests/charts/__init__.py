"""The chart, with the real helm; what it renders, with the real schemas and as a running daemon."""
