"""`python -m orchestrator` is the program `orchestrator`."""

from __future__ import annotations

import sys

from orchestrator.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
