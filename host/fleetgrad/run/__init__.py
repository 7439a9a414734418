# SPDX-License-Identifier: Apache-2.0
"""A federated run from config to result: the shell that gives the sans-I/O parts bytes and time.

result = execute(config, bundle_dir, fleet, observer)
"""

from fleetgrad.run.execute import Services, execute
from fleetgrad.run.summary import summarise

__all__ = ["Services", "execute", "summarise"]
