# SPDX-License-Identifier: Apache-2.0
"""From config, bundle and data to a run in the ledger: a new one, or one that was interrupted."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fleetgrad import bundle as bundles
from fleetgrad import config as configs
from fleetgrad.bundle import Bundle
from fleetgrad.config import Config
from fleetgrad.data import DeviceData, partition, read, write_image
from fleetgrad.errors import ConfigError, UsageError
from fleetgrad.federation.facts import Facts
from fleetgrad.federation.model import Layout, from_vector
from fleetgrad.federation.ranges import UNIT, RangePolicy, RangeReport
from fleetgrad.federation.selections import Selection, make_selection
from fleetgrad.federation.state import Plan, Round, Stage, State
from fleetgrad.federation.strategies import Robust, Strategy, make_strategy
from fleetgrad.federation.sums import facts_in
from fleetgrad.fleet import FieldFleet, Member, Placement
from fleetgrad.run.cohort import counted, summed
from fleetgrad.store import DeviceRow, RoundRow, RunRow, Store, Transaction, layout_of

# A board without a memory of its own counts its restarts on top of the image's boot base: so many
# restarts fit between two starts of the host.
_BOOTS_PER_START = 256

_NO_SAMPLES = "it has no samples to train on"


@dataclass(frozen=True)
class Inputs:
    """Everything a run is made of, checked.

    Attributes:
        config: The config.
        bundle: What the devices run.
        members: Every device, those without samples included.
        data: Their samples; empty where the devices bring their own.
        fingerprint: SHA-256, hex, of all that decides what the run computes, as far as it is known
            here.
    """

    config: Config
    bundle: Bundle
    members: tuple[Member, ...]
    data: tuple[DeviceData, ...]
    fingerprint: str

    @property
    def plan(self) -> Plan:
        """The run as the round engine sees it."""
        config = self.config
        mantissa, exponent = configs.learning_rate(config.train.learning_rate)
        return Plan(
            roster=tuple(m.device for m in self._able),
            evaluators=tuple(m.device for m in self._able if m.eval_samples),
            model_digest=self.bundle.digest[:8],
            rounds=config.rounds.count,
            min_updates=config.rounds.min_updates,
            fraction=config.rounds.fraction,
            timeout_s=config.rounds.timeout_s,
            retries=config.rounds.retries,
            seed=config.train.seed,
            lr_mantissa=mantissa,
            lr_exponent=exponent,
            epochs=config.train.epochs,
            batch=config.train.batch,
            max_steps=config.train.max_steps,
            rates=self._rates,
            strategy=self.strategy,
            selection=self.selection,
            samples={m.device: m.train_samples for m in self.members if m.train_samples},
            ranges=RangePolicy(
                before=config.ranges.grow == "before",
                drift=config.ranges.grow in ("before", "drift"),
                tolerance=round(config.ranges.tolerance * UNIT),
                names=tuple(r.name.split(";")[0] for r in self.bundle.ranges),
                segments=tuple(s.name.split(";")[0] for s in self.bundle.segments),
            ),
        )

    @property
    def strategy(self) -> Strategy:
        """How updates become a version.

        Raises:
            ConfigError: The config names none, or one with other options.
        """
        named = self.config.strategy
        return make_strategy(named.name, named.options, asdict(self.config.train))

    @property
    def selection(self) -> Selection:
        """Who is asked in a round.

        Raises:
            ConfigError: The config names none, or one with other options.
        """
        named = self.config.selection
        return make_selection(named.name, named.options)

    @property
    def _rates(self) -> tuple[tuple[int, int], ...]:
        schedule = self.config.schedule
        if schedule.kind == "constant" and not schedule.warmup:
            return ()
        numbers = range(1, schedule.rounds + 1)
        return tuple(configs.learning_rate(schedule.at(number)) for number in numbers)

    @property
    def _able(self) -> list[Member]:
        return [member for member in self.members if member.train_samples]

    def placements(self, starts: int) -> list[Placement]:
        """What the fleet must start; ``starts``: how often the run has been started."""
        boot_base = (starts * _BOOTS_PER_START) & 0xFFFFFFFF
        images = {d.device: write_image(d, boot_base=boot_base) for d in self.data if not d.empty}
        return [Placement(m.device, m.name, images.get(m.device, b"")) for m in self._able]


def gather(config: Config, bundle_dir: Path, *, field: bool = False) -> Inputs:
    """Reads and checks everything; changes nothing.

    Args:
        config: What to do.
        bundle_dir: What code generation made.
        field: The devices bring their own data: `meet` them next.

    Raises:
        FleetgradError: With exit code 2, when anything does not fit.
    """
    bundle = bundles.load(bundle_dir)
    if bundle.loss == "none":
        raise UsageError(
            "the bundle can only infer: nothing in it trains",
            where=str(bundle_dir),
            hint="build it with a scheme, e.g. scheme.name = 'last-layer'",
        )
    if config.train.learning_rate >= bundle.largest_rate:
        raise ConfigError(
            f"train.learning_rate = {config.train.learning_rate:g} overflows: one step would move"
            " weights over their whole range",
            where="train.learning_rate",
            expected=f"far below {bundle.largest_rate:.3g}, e.g. 0.01",
        )
    if config.train.batch > bundle.batch:
        raise ConfigError(
            f"train.batch = {config.train.batch} is more than the firmware collects",
            where="train.batch",
            expected=f"at most {bundle.batch}, as the bundle was built for",
            hint="fleetgrad build",
        )
    make_strategy(config.strategy.name, config.strategy.options, asdict(config.train))
    make_selection(config.selection.name, config.selection.options)
    if field:
        return Inputs(config, bundle, (), (), _fingerprint(config, bundle, ()))
    data = partition(read(config.data_path), config.data, bundle, devices=config.fleet.devices)
    members = tuple(Member(d.device, d.name, len(d.train_x), len(d.eval_x)) for d in data)
    return _checked(
        Inputs(config, bundle, members, data, _fingerprint(config, bundle, data)),
    )


def meet(inputs: Inputs, store: Store, fleet: FieldFleet) -> Inputs:
    """The devices of a run whose devices bring their own data.

    An interrupted run goes on with the devices that it began with, whoever answers now.

    Args:
        inputs: As gathered.
        store: Where an interrupted run would be.
        fleet: Finds devices.

    Raises:
        FleetError: No device answers.
        ConfigError: Too few do.
    """
    interrupted = _interrupted(store, inputs)
    if interrupted:
        members = [
            Member(row.device, row.name, row.train_samples, row.eval_samples)
            for row in store.ledger.devices(interrupted[-1].run_id)
        ]
    else:
        members = fleet.discover(inputs.config.rounds.timeout_s)
    for member in members:
        if member.gateway is not None:
            refuse_sums(inputs.strategy, member.gateway)
    return _checked(replace(inputs, members=tuple(members)))


def refuse_sums(strategy: Strategy, gateway: int) -> None:
    """For strategies that no sum will do for.

    Raises:
        ConfigError: The strategy is one.
    """
    if isinstance(strategy, Robust):
        raise ConfigError(
            f"{strategy.name} compares updates, and a gateway sends sums of them",
            where=f"strategy.name; gateway {gateway:016x}",
            hint="a strategy that averages, or gateways without --aggregate",
        )


def _checked(inputs: Inputs) -> Inputs:
    able, needed = len(inputs.plan.roster), inputs.config.rounds.min_updates
    if needed > able:
        raise ConfigError(
            f"rounds.min_updates = {needed} can never be reached",
            where="rounds.min_updates",
            expected=f"at most {able}: so many devices have samples to train on",
        )
    if inputs.plan.needed > able:
        raise ConfigError(
            f"the strategy {inputs.strategy.name} needs {inputs.plan.needed} updates in a round",
            where="strategy.name",
            expected=f"at most {able}: so many devices have samples to train on",
            hint="another strategy, or other options of it",
        )
    return inputs


def _interrupted(store: Store, inputs: Inputs) -> list[RunRow]:
    """Runs with the same inputs whose result nobody has been given."""
    return [
        run
        for run in store.ledger.runs()
        if run.fingerprint == inputs.fingerprint and run.state != "reported"
    ]


@dataclass(frozen=True)
class Entry:
    """A run about to be started.

    Attributes:
        run: The run.
        resumed: It was interrupted, and goes on.
        warnings: What the user may not expect: of an interrupted run that does not go on, say.
    """

    run: RunRow
    resumed: bool
    warnings: tuple[str, ...]


def enter(store: Store, inputs: Inputs, fleet: str, now: float) -> Entry:
    """Finds the unreported run with the same inputs, or adds a new one, and counts the start.

    Args:
        store: Open for writing.
        inputs: What the run is made of.
        fleet: Kind of fleet.
        now: Seconds since the epoch.
    """
    same = [run for run in store.ledger.runs() if run.fingerprint == inputs.fingerprint]
    interrupted = _interrupted(store, inputs)
    warnings = () if interrupted else (*_left(store, inputs), *_unfounded(store, inputs))
    with store.ledger.write(now) as transaction:
        store.keep_bundle(transaction, inputs.bundle)
        if interrupted:
            run_id = interrupted[-1].run_id
            if interrupted[-1].state == "complete":
                fleet = interrupted[-1].fleet  # no device is needed any more
            transaction.note("resumed", f"run {run_id} goes on", run_id=run_id)
        else:
            run_id = f"{inputs.fingerprint[:8]}-{len(same) + 1}"
            _add_run(store, transaction, inputs, run_id, fleet)
        for warning in warnings:
            transaction.note("warning", warning, run_id=run_id)
        transaction.start_run(run_id, fleet)
    return Entry(store.ledger.run(run_id), bool(interrupted), warnings)


def _left(store: Store, inputs: Inputs) -> list[str]:
    """Names the newest interrupted run, which these inputs do not resume, and why not."""
    unfinished = [run for run in store.ledger.runs() if run.state == "open"]
    if not unfinished:
        return []
    run = unfinished[-1]
    changes = configs.decisive_changes(json.loads(run.config), inputs.config)
    why = "; ".join(changes) or "the model or the data are other ones"
    return [f"a new run begins; run {run.run_id} is unfinished and does not go on: {why}"]


def _unfounded(store: Store, inputs: Inputs) -> list[str]:
    """Says that there is no current version to start from, where that may surprise."""
    versions = store.ledger.versions()
    mine = inputs.bundle.digest.hex()
    if (
        inputs.config.run.start == "factory"
        or not versions
        or any(v.bundle == mine for v in versions)
    ):
        return []
    return [
        "run.start = current, but no version here is of this model: it starts from the factory's"
    ]


def restore(store: Store, inputs: Inputs, run: RunRow) -> State:
    """The engine's state as the ledger has it."""
    rounds = store.ledger.rounds(run.run_id)
    # A round that is open may start from a version of its own: one with larger ranges.
    version = (rounds[-1].version or rounds[-1].base) if rounds else run.base
    closed = [r.round for r in rounds if r.closed]
    state = State(
        inputs.plan,
        store.model(version),
        next_round=max(closed, default=0) + 1,
        losses=_losses(store, inputs, run, rounds),
    )
    if run.state != "open":
        return replace(state, stage=Stage.FINISHED)
    if not rounds or rounds[-1].closed:
        return state
    current = rounds[-1]
    report = RangeReport.empty(layout_of(inputs.bundle).shape)
    accepted: dict[int, Facts] = {}
    for device, update in counted(store, run, current):
        accepted[device] = Facts.of(update)
        report = report.add(update)
    for found, part in summed(store, run, current, inputs.strategy):
        accepted.update(facts_in(found))
        report = report.merge(part.report)
    opened = Round(current.round, current.selected, report, current.attempt, accepted=accepted)
    return replace(state, next_round=current.round, round=opened)


def _losses(
    store: Store, inputs: Inputs, run: RunRow, rounds: Sequence[RoundRow]
) -> dict[int, int]:
    """Training loss of each device's last update in a closed round, for who reads it."""
    if not inputs.selection.reads_losses:
        return {}
    losses: dict[int, int] = {}
    for row in rounds:
        if not row.closed or row.evaluation:
            continue
        updates = store.ledger.updates(run.run_id, row.round)
        losses.update({update.device: update.train_loss for update in updates})
        for found, _ in summed(store, run, row, inputs.strategy):
            losses.update({d: facts.train_loss for d, facts in facts_in(found).items()})
    return losses


def _add_run(
    store: Store, transaction: Transaction, inputs: Inputs, run_id: str, fleet: str
) -> None:
    bundle = inputs.bundle
    key = bundle.digest.hex()
    base = _base(store, transaction, inputs, key)
    run = RunRow(
        run_id=run_id,
        fingerprint=inputs.fingerprint,
        bundle=key,
        base=base,
        fleet=fleet,
        rounds=inputs.config.rounds.count,
        labels=bundle.has_labels,
        loss_unit=bundle.reported_loss_unit,
        state="open",
        starts=0,
        config=json.dumps(inputs.config.to_dict(), sort_keys=True),
        at=0.0,
    )
    transaction.add_run(run, [_device(member) for member in inputs.members])
    for member in inputs.members:
        if not member.train_samples:
            transaction.note("empty", _NO_SAMPLES, run_id=run_id, device=member.device)


def _device(member: Member) -> DeviceRow:
    return DeviceRow(
        device=member.device,
        name=member.name,
        train_samples=member.train_samples,
        eval_samples=member.eval_samples,
        left_out="" if member.train_samples else _NO_SAMPLES,
        bytes_up=0,
        bytes_down=0,
    )


def _base(store: Store, transaction: Transaction, inputs: Inputs, bundle: str) -> int:
    """The version that a new run starts from."""
    known = [v for v in store.ledger.versions() if v.bundle == bundle]
    if known and inputs.config.run.start == "current":
        return known[-1].version
    factory = [v.version for v in known if v.created_by == "factory"]
    if factory:
        return factory[0]
    layout: Layout = layout_of(inputs.bundle)
    model = from_vector(layout, inputs.bundle.initial_params)
    return transaction.add_version(
        model.digest.hex(),
        parent=None,
        bundle=bundle,
        params=store.keep_model(model),
        created_by="factory",
    )


def _fingerprint(config: Config, bundle: Bundle, data: Sequence[DeviceData]) -> str:
    whole = hashlib.sha256(config.fingerprint().encode() + bundle.digest)
    for device in data:
        whole.update(hashlib.sha256(write_image(device)).digest())
    return whole.hexdigest()
