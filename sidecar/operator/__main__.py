"""`python -m sidecar.operator` is `agentcom`."""

import sys

from sidecar.operator.cli import main

sys.exit(main())
