"""Where work lands: pull requests, their risk, their evidence, and merging by a person."""
