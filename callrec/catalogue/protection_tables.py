"""Tables of the stop list, of holds and of restrictions."""
