"""A helper that never ends by itself."""

import signal

if __name__ == "__main__":
    while True:
        signal.pause()
