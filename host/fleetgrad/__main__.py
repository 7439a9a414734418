# SPDX-License-Identifier: Apache-2.0
"""`python -m fleetgrad`: the same as the command `fleetgrad`."""

import sys

from fleetgrad.cli import main

if __name__ == "__main__":
    sys.exit(main())
