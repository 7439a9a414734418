# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad bench`: the benchmarks behind docs/benchmarks.md."""

from __future__ import annotations

import click

from .accuracy import accuracy
from .aggregation import aggregation
from .finetune import finetune
from .fleet import fleet
from .kernels import kernels
from .kills import kills
from .links import links
from .memory import memory
from .mqtt import mqtt
from .robust import robust


@click.group()
def command() -> None:
    """Measures what docs/benchmarks.md tells; each bench prints its targets beside its figures."""


command.add_command(aggregation)
command.add_command(kernels)
command.add_command(links)
command.add_command(kills)
command.add_command(accuracy)
command.add_command(finetune)
command.add_command(memory)
command.add_command(fleet)
command.add_command(robust)
command.add_command(mqtt)
