# SPDX-License-Identifier: Apache-2.0
"""How many files this process may have open: links are files, and large fleets have many."""

import resource

from fleetgrad.errors import FleetError

PER_DEVICE = 2  # both ends of its link, or its link and the listener it dials
_EVERYTHING_ELSE = 128


def allow_links(devices: int) -> None:
    """Lifts the process's own limit where it is too low for so many devices.

    Args:
        devices: About to be started.

    Raises:
        FleetError: When the system does not let it be lifted that far.
    """
    wanted = PER_DEVICE * devices + _EVERYTHING_ELSE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise FleetError(
            f"{devices} devices need {wanted} open files",
            where="ulimit -Hn",
            expected=f"at most the {hard} that this system allows a process",
            hint="raise the limit, or lower fleet.devices",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
