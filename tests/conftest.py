"""Settings of the whole suite: property tests have no deadline (a first call compiles kernels), and CI repeats its cases."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
