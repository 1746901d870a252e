"""The console package."""
