"""Tables of outside parties and of retention runs."""
