"""What tests stand on: real programs on free ports, and eyes for what they left behind."""
