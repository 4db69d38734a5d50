"""`python -m sidecar` is `agentcom-sidecar`."""

import sys

from sidecar.cli import main

sys.exit(main())
