"""The calling_line package."""
