"""What a web process serves: paths (urls.py) and connections (sockets.py)."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentcom.settings")
