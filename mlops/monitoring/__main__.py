"""``python -m mlops.monitoring``: the monitor process."""

from __future__ import annotations

import sys

from mlops.monitoring.service.process import main

if __name__ == "__main__":
    sys.exit(main())
