"""What a run measures, completely described: the plan that a report embeds and `--resume` reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from benchmarks.records import Load

Peer = Literal["bench_serving", "guidellm"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Arm(BaseModel):
    """One way to serve.

    Attributes:
        name: in tables and plots.
        fields: of `launcher.config.server_config.ServerConfig`, over those that all arms share.
        url: of a server that already runs; then there are no fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    fields: dict[str, Any] = Field(default_factory=dict)
    url: str | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.url is not None and self.fields:
            raise ValueError(f"arm {self.name!r}: a server that already runs takes no fields")
        return self


class Objective(BaseModel):
    """A service-level objective; a request meets it when it meets all that is set.

    Attributes:
        time_to_first_token_seconds: at the most.
        time_per_output_token_seconds: at the most.
        end_to_end_seconds: at the most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_to_first_token_seconds: float | None = Field(default=None, gt=0)
    time_per_output_token_seconds: float | None = Field(default=None, gt=0)
    end_to_end_seconds: float | None = Field(default=None, gt=0)


class Plan(BaseModel):
    """Arms by workloads by loads, in rounds.

    Attributes:
        arms: the first is the baseline.
        shared: fields of `launcher.config.server_config.ServerConfig` that all started arms have.
        workloads: names of built-in ones, or paths of files.
        prompts: how many of each workload; a file with fewer gives all it has.
        loads: closed loops, open loops, or both.
        rounds: how often everything is measured; arms take turns in going first.
        side_by_side: all servers live at the same time, and arms alternate cell by cell; otherwise
            each round starts them one after the other. Closer in time, so drift of the machine
            hurts less; needs memory for all.
        seed: of built-in workloads, of the order of cells, of arrivals, of the bootstrap.
        warm_up_requests: before the cells of each start, not counted.
        cell_timeout_seconds: after which what is still running is incomplete.
        objective: for goodput.
        scored_prompts: of each workload, for the comparison of outputs; 0 leaves it out.
        peers: other benchmarks to measure the same servers with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: tuple[Arm, ...] = Field(min_length=1)
    shared: dict[str, Any] = Field(default_factory=dict)
    workloads: tuple[str, ...] = Field(min_length=1)
    prompts: int = Field(default=16, ge=1)
    loads: tuple[Load, ...] = Field(min_length=1)
    rounds: int = Field(default=5, ge=1)
    side_by_side: bool = False
    seed: int = Field(default=0, ge=0)
    warm_up_requests: int = Field(default=4, ge=0)
    cell_timeout_seconds: float = Field(default=900.0, gt=0)
    objective: Objective | None = None
    scored_prompts: int = Field(default=8, ge=0)
    peers: tuple[Peer, ...] = ()

    @field_validator("arms")
    @classmethod
    def _names_differ(cls, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
        names = [arm.name for arm in arms]
        if len(set(names)) != len(names):
            raise ValueError(f"two arms have one name: {', '.join(names)}")
        return arms

    @property
    def baseline(self) -> str:
        """The arm that the others are held against."""
        return self.arms[0].name

    @property
    def references(self) -> tuple[str, ...]:
        """The baseline and the first arm of each engine: held against themselves as well."""
        return tuple(dict.fromkeys((self.baseline, *self._first_of_engines().values())))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Baseline and candidate of each comparison: those with the run's baseline come first.

        Of two engines, each arm is held against its own engine's first arm too, and against the arm
        that decodes in the same way on another engine.
        """
        found = [(self.baseline, arm.name) for arm in self.arms[1:]]
        first = self._first_of_engines()
        for number, arm in enumerate(self.arms):
            if (engine := self._engine(arm)) is None:
                continue
            likes = (
                other.name
                for other in self.arms[:number]
                if self._engine(other) not in (None, engine) and _decoding(other) == _decoding(arm)
            )
            found += [(one, arm.name) for one in (first[engine], *likes) if one != arm.name]
        return tuple(dict.fromkeys(found))

    def _first_of_engines(self) -> dict[str, str]:
        first: dict[str, str] = {}
        for arm in self.arms:
            if (engine := self._engine(arm)) is not None:
                first.setdefault(engine, arm.name)
        return first

    def _engine(self, arm: Arm) -> str | None:
        """The engine that the plan names for an arm; None where it names none."""
        engine = arm.fields.get("engine", self.shared.get("engine"))
        return None if engine is None or arm.url is not None else str(engine)


def _decoding(arm: Arm) -> dict[str, Any]:
    """What an arm says of speculation."""
    return {name: value for name, value in arm.fields.items() if name.startswith("speculative_")}
