"""A helper that tells what it was given."""

import json
import os
import sys

if __name__ == "__main__":
    told = {"arguments": len(sys.argv), "credentials": "CREDENTIALS_DIRECTORY" in os.environ, "nice": os.nice(0)}
    sys.stdout.write(json.dumps(told) + "\n")
