"""The sidecar: runs on an agent's machine, does the work, proves it. Installs and imports without the hub."""

__version__ = "0.1.0"
