# SPDX-License-Identifier: Apache-2.0
"""fleetgrad.toml as typed, validated, frozen values.

The dataclasses below are the single list of keys: their names, types, defaults and ranges. Loading,
``--set`` overrides, the error messages, ``fleetgrad config show`` and the fingerprint all read it.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fleetgrad import settings
from fleetgrad.errors import ConfigError
from fleetgrad.schedule import KINDS as SCHEDULES
from fleetgrad.schedule import Schedule
from fleetgrad.settings import Choice, FileName, NonEmpty, Range, TopicLevel

FILE_NAME = "fleetgrad.toml"

LOSSES = ("auto", "softmax_cross_entropy", "binary_cross_entropy", "squared_error")
GROWTH = ("before", "drift", "off")
SIMULATED = ("auto", "user", "dirichlet", "drawn")
FLEETS = ("qemu", "native", "virtual", "serial", "mqtt")


@dataclass(frozen=True)
class ModelConfig:
    """The model that learns."""

    path: Path = field(default=Path(), metadata={"check": NonEmpty("a .tflite file")})
    name: str = field(default="", metadata={"check": FileName()})  # empty: the file's stem


@dataclass(frozen=True)
class DataConfig:
    """The data set, and which part of it goes to which device."""

    path: Path = Path()  # an .npz file; not needed where the devices hold data of their own
    target: str = field(default="y", metadata={"check": Choice(("y", "input"))})
    holdout: float = field(default=0.25, metadata={"check": Range(0.0, 0.9)})
    seed: int = field(default=0, metadata={"check": Range(0, 2**32 - 1)})
    users: tuple[str, ...] = ()  # empty: all of the data set's users
    limit: int = field(default=0, metadata={"check": Range(0, 2**20)})  # samples per user, 0: all


@dataclass(frozen=True)
class SchemeConfig:
    """Which weights train, and how."""

    name: str = "last-layer"
    file: Path = Path()  # of the scheme "file"
    layers: int = field(default=0, metadata={"check": Range(0, 65535)})  # the last ones; 0: all
    ratio: float = field(default=0.5, metadata={"check": Range(2.0**-10, 1.0)})  # of "sparse"
    rank: int = field(default=4, metadata={"check": Range(1, 64)})  # of "lora"
    headroom: float = field(default=4.0, metadata={"check": Range(1.0, 16.0)})
    classes: int = field(default=0, metadata={"check": Range(0, 65535)})  # 0: the model's own head
    loss: str = field(default="auto", metadata={"check": Choice(LOSSES)})
    recompute: bool = False  # cheap activations on the way back, where that lowers the arena
    page: bool = False  # int8 weights of one trained layer at a time, where that takes less RAM


@dataclass(frozen=True)
class SearchConfig:
    """How the scheme "auto" tries schemes out; the rest is [data]'s and [train]'s."""

    samples: int = field(default=600, metadata={"check": Range(0, 2**20)})  # to train on, 0: all
    heldout: int = field(default=600, metadata={"check": Range(0, 2**20)})  # to score on, 0: all
    seeds: int = field(default=2, metadata={"check": Range(1, 64)})  # trials of each scheme


@dataclass(frozen=True)
class TrainConfig:
    """What a device does in one round."""

    learning_rate: float = field(default=0.01, metadata={"check": Range(2.0**-30, 1024.0)})
    epochs: int = field(default=1, metadata={"check": Range(1, 65535)})
    batch: int = field(default=1, metadata={"check": Range(1, 1024)})
    seed: int = field(default=0, metadata={"check": Range(0, 2**32 - 1)})
    max_steps: int = field(default=0, metadata={"check": Range(0, 2**32 - 1)})  # 0: no limit
    schedule: str = field(default="constant", metadata={"check": Choice(SCHEDULES)})
    warmup: int = field(default=0, metadata={"check": Range(0, 65534)})  # rounds
    decay: float = field(default=0.5, metadata={"check": Range(2.0**-10, 1.0)})  # of "step" ...
    decay_every: int = field(default=10, metadata={"check": Range(1, 65534)})  # ... in rounds


@dataclass(frozen=True)
class RangesConfig:
    """What may happen to the scales of activations."""

    grow: str = field(default="before", metadata={"check": Choice(GROWTH)})
    tolerance: float = field(default=1e-3, metadata={"check": Range(0.0, 1.0)})  # share clipped
    front: int = field(default=0, metadata={"check": Range(0, 3)})  # doublings at export


@dataclass(frozen=True)
class RoundsConfig:
    """How many rounds, and when one counts."""

    count: int = field(default=10, metadata={"check": Range(1, 65534)})
    min_updates: int = field(default=1, metadata={"check": Range(1, 2**20)})
    fraction: float = field(default=1.0, metadata={"check": Range(2.0**-20, 1.0)})
    timeout_s: float = field(default=120.0, metadata={"check": Range(0.05, 604800.0)})
    retries: int = field(default=1, metadata={"check": Range(0, 1000)})


@dataclass(frozen=True)
class StrategyConfig:
    """How updates become a version; every other key is an option of that strategy."""

    name: str = "fedavg"
    options: Mapping[str, Any] = field(default_factory=dict, metadata={"rest": True})


@dataclass(frozen=True)
class SelectionConfig:
    """Who is asked in a round; every other key is an option of that selection."""

    name: str = "uniform"
    options: Mapping[str, Any] = field(default_factory=dict, metadata={"rest": True})


@dataclass(frozen=True)
class FleetConfig:
    """Where the devices come from."""

    kind: str = field(default="qemu", metadata={"check": Choice(FLEETS)})
    board: str = "mps2_an386"
    # At most so many; of boards on ports: so many are waited for. 0: as many as there are.
    devices: int = field(default=0, metadata={"check": Range(0, 2**20)})
    ports: tuple[str, ...] = ()  # of "serial": names, URLs, wildcards; empty: every USB port
    baud: int = field(default=115200, metadata={"check": Range(300, 12_000_000)})
    # Of "mqtt": mqtt://[USER@]HOST[:PORT], or mqtts://; empty or embedded:PORT: one of our own.
    broker: str = ""
    name: str = field(default="fleet", metadata={"check": TopicLevel()})  # in every topic
    ca: Path = Path()  # certificates, for mqtts
    cert: Path = Path()
    key: Path = Path()
    record: int = field(default=256, metadata={"check": Range(256, 65536)})  # bytes of a publish


@dataclass(frozen=True)
class SimulateConfig:
    """The virtual fleet of `fleetgrad simulate`, and how it behaves; a run reads none of it."""

    # Whose samples: as data.users has them; dealt to any number of devices; or made up. "auto":
    # "user" where there are users enough, else "dirichlet".
    data: str = field(default="auto", metadata={"check": Choice(SIMULATED)})
    alpha: float = field(default=0.5, metadata={"check": Range(1e-3, 1e6)})  # of "dirichlet"
    samples: int = field(default=32, metadata={"check": Range(1, 65535)})  # of each device
    own: float = field(default=0.5, metadata={"check": Range(0.0, 1.0)})  # of "drawn": of one class
    noise: int = field(default=96, metadata={"check": Range(0, 127)})  # of "drawn"
    clock: bool = False  # devices sleep, drop out and take their time
    # Kinds of boards as ID:SHARE[:MHz[:nJ per instruction]]; empty: fleet.board alone.
    boards: tuple[str, ...] = ()
    awake: float = field(default=0.25, metadata={"check": Range(1e-3, 0.5)})  # mean share
    swing: float = field(default=4.0, metadata={"check": Range(1.0, 100.0)})  # best hour to worst
    dropout: float = field(default=0.08, metadata={"check": Range(0.0, 0.9)})
    kbit_s: float = field(default=160.0, metadata={"check": Range(0.1, 1e6)})  # median of links
    uj_per_byte: float = field(default=0.5, metadata={"check": Range(0.0, 1e6)})
    battery_j: float = field(default=0.0, metadata={"check": Range(0.0, 1e6)})  # 0: mains
    charge_mw: float = field(default=0.0, metadata={"check": Range(0.0, 1e6)})
    reserve: float = field(default=0.2, metadata={"check": Range(0.0, 1.0)})  # of the battery
    over: float = field(default=1.3, metadata={"check": Range(1.0, 10.0)})  # asked per one needed
    deadline_s: float = field(default=0.0, metadata={"check": Range(0.0, 604800.0)})  # 0: none
    selection: str = field(default="uniform", metadata={"check": Choice(("uniform", "thrifty"))})


@dataclass(frozen=True)
class RunConfig:
    """Where a run keeps its ledger and versions, and what it starts from."""

    dir: Path = Path("runs")
    start: str = field(default="factory", metadata={"check": Choice(("factory", "current"))})


@dataclass(frozen=True)
class Config:
    """Everything fleetgrad.toml can say. Paths are absolute after loading."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    scheme: SchemeConfig = SchemeConfig()
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig()
    ranges: RangesConfig = RangesConfig()
    rounds: RoundsConfig = RoundsConfig()
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    fleet: FleetConfig = FleetConfig()
    simulate: SimulateConfig = SimulateConfig()
    run: RunConfig = RunConfig()

    @property
    def schedule(self) -> Schedule:
        """The learning rate of each round."""
        train = self.train
        return Schedule(
            train.learning_rate,
            train.schedule,
            self.rounds.count,
            train.warmup,
            train.decay,
            train.decay_every,
        )

    @property
    def model_name(self) -> str:
        """``model.name``, or the model file's stem."""
        return self.model.name or self.model.path.stem

    @property
    def data_path(self) -> Path:
        """``data.path``, for work that needs a data set.

        Raises:
            ConfigError: There is none.
        """
        if self.data.path == Path():
            raise ConfigError(
                "no data set is named",
                where="data.path",
                expected="an .npz file",
                hint="set data.path in fleetgrad.toml, or --set data.path=FILE",
            )
        return self.data.path

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Every key with its value, defaults included, in TOML's own types."""
        return settings.to_dict(self)

    def fingerprint(self) -> str:
        """SHA-256, hex, of the keys that decide what a run computes."""
        decisive = {
            section: {
                key: value for key, value in keys.items() if (section, key) not in _INCIDENTAL
            }
            for section, keys in self.to_dict().items()
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


# Keys that a run's result does not depend on: paths, names, the kind of fleet, the board and the
# patience of the host. The same run on other machines ends with the same model. The contents of the
# model and the data enter a run's identity separately.
_INCIDENTAL = frozenset(
    {
        ("model", "path"),
        ("model", "name"),
        ("data", "path"),
        ("scheme", "file"),  # what it says is in the bundle
        ("search", "samples"),
        ("search", "heldout"),
        ("search", "seeds"),
        ("rounds", "timeout_s"),
        ("rounds", "retries"),
        ("fleet", "kind"),
        ("fleet", "board"),
        ("fleet", "ports"),
        ("fleet", "baud"),
        ("fleet", "broker"),
        ("fleet", "ca"),
        ("fleet", "cert"),
        ("fleet", "key"),
        ("fleet", "record"),
        ("run", "dir"),
        *(("simulate", entry.name) for entry in fields(SimulateConfig)),
    }
)


def decisive_changes(old: Mapping[str, Mapping[str, Any]], new: Config) -> list[str]:
    """What makes another run of another config, e.g. ``rounds.count = 20, not 10``.

    Args:
        old: Sections and keys as :meth:`Config.to_dict` gave them at that time.
        new: The config now.
    """
    return [
        f"{section}.{key} = {json.dumps(value)}, not {json.dumps(old.get(section, {}).get(key))}"
        for section, keys in new.to_dict().items()
        for key, value in {**dict.fromkeys(old.get(section, {})), **keys}.items()
        if (section, key) not in _INCIDENTAL and old.get(section, {}).get(key) != value
    ]


def find(start: Path) -> Path:
    """The nearest fleetgrad.toml in ``start`` or a folder above it.

    Raises:
        ConfigError: When there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} here or in any folder above",
        where=str(start),
        hint="name one with --config, or change into the folder of a project",
    )


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Reads one file and applies overrides.

    Args:
        path: A fleetgrad.toml; relative paths inside it are relative to its folder.
        overrides: ``section.key=value`` texts; paths in them are relative to that folder too.

    Raises:
        ConfigError: When the file cannot be read, or a key is unknown, missing, mistyped or out of
            range.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path)) from error
    return from_tables(tables, overrides, base=path.resolve().parent, source=str(path))


def from_tables(
    tables: dict[str, Any], overrides: Sequence[str] = (), *, base: Path, source: str
) -> Config:
    """The same from tables that are in memory already; ``source`` names them in errors.

    Raises:
        ConfigError: As :func:`load`.
    """
    config = settings.build(Config, tables, overrides, base=base, source=source)
    if config.rounds.min_updates > config.fleet.devices > 0:
        raise ConfigError(
            f"rounds.min_updates = {config.rounds.min_updates} can never be reached",
            where=f"{source}: rounds.min_updates",
            expected=f"at most fleet.devices = {config.fleet.devices}",
        )
    return config


def learning_rate(value: float) -> tuple[int, int]:
    """The learning rate as the device takes it: mantissa * 2^(exponent - 15).

    The mantissa has 15 significant bits, rounded to nearest, ties to even: within 2^-15 of
    ``value``, and exact for every rate that 15 bits can hold.

    Args:
        value: Greater than 0 and within the int16 range of exponents.

    Returns:
        ``(mantissa, exponent)`` with 2^14 <= mantissa < 2^15.

    Raises:
        ConfigError: When ``value`` is not a positive finite number.
    """
    return settings.mantissa_exponent(value, key="train.learning_rate")
