# SPDX-License-Identifier: Apache-2.0
"""The virtual fleet that a config describes: its samples, its boards, its clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.config import Config
from fleetgrad.data import DeviceData, read
from fleetgrad.errors import BoardError, ConfigError
from fleetgrad.federation.selections import Uniform
from fleetgrad.federation.state import Plan
from fleetgrad.run.prepare import Inputs, gather
from fleetgrad.simulate.clock import Clock, DeviceClass, Terms
from fleetgrad.simulate.native import FleetLibrary
from fleetgrad.simulate.rounds import Heldout, traffic_of
from fleetgrad.simulate.samples import Drawn, FleetSamples, of_devices
from fleetgrad.simulate.sources import dealt, drawn
from fleetgrad.store import layout_of
from fleetgrad_codegen.bundle import Bundle as GeneratedBundle
from fleetgrad_codegen.errors import BudgetError
from fleetgrad_codegen.gradient.training import DeepTraining
from fleetgrad_codegen.plan import check_budget
from fleetgrad_codegen.search.instructions import instructions, work_of

from .auto import rates_of
from .bundles import budget_of

# Where a board of the fleet says nothing else: 64 MHz, and the nRF52840's 52 microamperes per MHz
# at 3 V (its data sheet, CoreMark from flash), an instruction a cycle.
MHZ: Final = 64.0
NANOJOULES: Final = 0.16

TESTED: Final = 2000  # samples that a version is scored on, where samples are drawn
_NOBODY: Final = 1 << 62  # id that no device of a fleet has


@dataclass(frozen=True, eq=False)
class VirtualSamples:
    """A fleet's samples, and those to score versions on.

    Attributes:
        inputs: The config, checked against the bundle.
        samples: The fleet's.
        test: Held out, all devices' together.
        words: Where they come from.
    """

    inputs: Inputs
    samples: FleetSamples
    test: Heldout
    words: str


def samples_of(config: Config, folder: Path, library: FleetLibrary, devices: int) -> VirtualSamples:
    """The samples that ``simulate.data`` asks for.

    Args:
        config: What to do.
        folder: The bundle's.
        library: The fleet's.
        devices: How many devices; 0: as many as the data set has users.

    Raises:
        ConfigError: The configured selection is one that is not simulated.
        FleetgradError: They do not fit the model, or there are too few.
    """
    if config.selection.name != Uniform.name or config.selection.options.get("every"):
        raise ConfigError(
            f"a simulated fleet is not asked by {config.selection.name!r} or in turns",
            where="selection.name",
            expected=f"{Uniform.name}, without selection.every",
            hint="simulate.selection chooses by charge and deadline",
        )
    settings = config.simulate
    if settings.data == "drawn":
        return _drawn(gather(config, folder, field=True), library, devices or 1000)
    everyone = replace(config, fleet=replace(config.fleet, devices=0))
    users = len(config.data.users or read(config.data_path).users)
    kind = settings.data
    if kind == "auto":
        kind = "user" if devices <= users else "dirichlet"
    if kind == "user":
        chosen = replace(config, fleet=replace(config.fleet, devices=devices))
        inputs = gather(chosen, folder)
        samples = of_devices(inputs.data)
        words = f"a data set split by user, {samples.devices} of {users}"
    else:
        inputs = gather(everyone, folder)
        samples = dealt(
            inputs.data, devices or users, settings.samples, settings.alpha, config.train.seed
        )
        words = f"{settings.samples} samples for each device, Dirichlet({settings.alpha:g})"
    held = [one for one in inputs.data if len(one.eval_x)]
    return VirtualSamples(inputs, samples, _test(held or list(inputs.data[:1])), words)


def _test(data: list[DeviceData]) -> Heldout:
    return Heldout(
        np.ascontiguousarray(np.concatenate([one.eval_x for one in data])),
        np.ascontiguousarray(np.concatenate([one.eval_y for one in data])),
    )


def _drawn(inputs: Inputs, library: FleetLibrary, devices: int) -> VirtualSamples:
    settings, seed = inputs.config.simulate, inputs.config.train.seed
    own = round(256 * settings.own)
    count = settings.samples
    terms = Drawn(seed, inputs.bundle.classes, count, count, 0, own, settings.noise)
    samples = drawn(inputs.bundle, devices, terms)
    all_alike = replace(terms, train_least=TESTED, train_most=TESTED, own=0)
    nobody = replace(samples, devices=1, drawn=all_alike, first_id=_NOBODY)
    test = Heldout(*library.worker(nobody).samples_of(0))
    words = f"{count} drawn samples for each device, {100 * settings.own:.0f} % of its own class"
    return VirtualSamples(inputs, samples, test, words)


def classes_of(
    config: Config, generated: GeneratedBundle, tell: Callable[[str], None]
) -> tuple[DeviceClass, ...]:
    """The kinds of boards in the fleet; a board too small for the plan is said to be left out.

    Raises:
        ConfigError: An entry of ``simulate.boards`` that cannot be read.
        BoardError: No board of the fleet holds the plan.
    """
    found = [_class(entry, generated) for entry in config.simulate.boards or (config.fleet.board,)]
    for made, problem in found:
        if problem is not None:
            tell(f"{made.name} is left out: {problem.what}")
    if not any(made.fits for made, _ in found):
        raise BoardError(
            "no board of the fleet holds the plan",
            where="simulate.boards",
            hint="fleetgrad plan shows what each scheme takes",
        )
    return tuple(made for made, _ in found)


def _class(entry: str, generated: GeneratedBundle) -> tuple[DeviceClass, BudgetError | None]:
    name, *numbers = entry.split(":")
    try:
        share, mhz, nanojoules = (*map(float, numbers), *(1.0, MHZ, NANOJOULES)[len(numbers) :])
    except ValueError:
        share = mhz = nanojoules = 0.0
    if min(share, mhz) <= 0 or nanojoules < 0:
        raise ConfigError(
            f"simulate.boards: {entry!r} is no kind of board",
            where="simulate.boards",
            expected="ID:SHARE[:MHz[:nJ per instruction]], such as mps2_an386:0.7:64:0.16",
        )
    board = load_board(paths.boards(), name)
    problem = None
    try:
        check_budget(generated.memory, budget_of(board))
    except BudgetError as error:
        problem = error
    cost = _instructions(generated, board)
    return DeviceClass(name, share, cost, mhz * 1e6, nanojoules * 1e-9, problem is None), problem


def _instructions(generated: GeneratedBundle, board: Board) -> float:
    """Of a training step."""
    rates, program = rates_of(board), generated.program
    total = float(instructions(work_of(program), rates))
    training = program.training
    if training is not None and not isinstance(training, DeepTraining):
        head = rates.get("dense_update")
        total += 0.0 if head is None else head.per_mac * training.backward_macs
    return total


def clock_of(
    config: Config, plan: Plan, found: VirtualSamples, classes: tuple[DeviceClass, ...]
) -> Clock:
    """The fleet in time."""
    settings = config.simulate
    terms = Terms(
        classes=classes,
        awake=settings.awake,
        swing=settings.swing,
        dropout=settings.dropout,
        bytes_per_s=settings.kbit_s * 125.0,
        byte_joules=settings.uj_per_byte * 1e-6,
        battery=settings.battery_j,
        charge_watts=settings.charge_mw * 1e-3,
        reserve=settings.reserve,
        over=settings.over,
        deadline_s=settings.deadline_s,
        selection=settings.selection,
    )
    visits = found.samples.train_counts()
    steps = -(-visits // plan.batch) * plan.epochs
    if plan.max_steps:
        steps = np.minimum(steps, plan.max_steps)
    layout = layout_of(found.inputs.bundle)
    vector = len(found.inputs.bundle.initial_params)
    return Clock(terms, steps, plan.seed, traffic_of(layout.shape, vector))
