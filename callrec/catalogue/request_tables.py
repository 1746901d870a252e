"""Tables of deletion requests."""
