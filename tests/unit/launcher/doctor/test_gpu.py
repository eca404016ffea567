"""The GPUs of other machines behind NVML's functions: what is told of them, and in which colour."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from launcher.doctor.gpu import PROBES
from launcher.doctor.nvml import DriverState, GpuUser, read_driver
from launcher.doctor.probes import CallOutcome, NoAnswerError, ProbeFinding, Row, examine
from launcher.doctor.readers import Holder, Readers, find_holder, our_processes
from launcher.doctor.target import ServingTarget, serving_target
from launcher.names import RUN_ID_VARIABLE
from launcher.state.store import RunStore
from launcher.system.hardware import GIB, probe_hardware
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_record

FP8 = "glm-4.5-air-fp8"


@dataclass
class Card:
    """One GPU as NVML tells of it; None for what it does not support."""

    name: str
    total_gib: int
    capability: tuple[int, int]
    free_gib: float | None = None
    pids: tuple[int, ...] = ()
    persistent: int | None = 1
    ecc: int | None = 1
    uncorrected: int | None = 0
    remapped: tuple[int, int, int, int] | None = (0, 0, 0, 0)
    reasons: int | None = 0
    compute_mode: int | None = 0
    mig: int | None = 0


@dataclass
class Machine:
    """A driver and its cards."""

    cards: list[Card]
    version: str = "580.65.06"
    cuda: int = 13000
    linked: bool | None = True

    def _or_fail(self, value: Any) -> Any:
        if value is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return value

    def functions(self) -> dict[str, Callable[..., Any]]:
        """NVML's functions; a handle is an index."""
        cards, ask = self.cards, self._or_fail

        def memory(index: int, version: int | None = None) -> SimpleNamespace:
            card = cards[index]
            free = card.total_gib - 0.5 if card.free_gib is None else card.free_gib
            found = SimpleNamespace(total=card.total_gib * GIB, free=int(free * GIB))
            if version is not None:
                found.reserved = GIB // 2
            return found

        def processes(index: int) -> list[SimpleNamespace]:
            used = 12 * GIB
            return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid in cards[index].pids]

        def linked(*_: int) -> int:
            return {True: 0, False: 5}[ask(self.linked)]

        return {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: self.version,
            "nvmlSystemGetCudaDriverVersion_v2": lambda: self.cuda,
            "nvmlDeviceGetCount": lambda: len(cards),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda index: cards[index].name,
            "nvmlDeviceGetUUID": lambda index: f"GPU-{index}0000000-1111",
            "nvmlDeviceGetMemoryInfo": memory,
            "nvmlDeviceGetNvLinkState": lambda _, link: int(ask(self.linked if link < 4 else None)),
            "nvmlDeviceGetCudaComputeCapability": lambda index: cards[index].capability,
            "nvmlDeviceGetComputeRunningProcesses": processes,
            "nvmlDeviceGetPersistenceMode": lambda index: ask(cards[index].persistent),
            "nvmlDeviceGetEccMode": lambda index: [ask(cards[index].ecc)] * 2,
            "nvmlDeviceGetTotalEccErrors": lambda index, *_: ask(cards[index].uncorrected),
            "nvmlDeviceGetRemappedRows": lambda index: ask(cards[index].remapped),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda index: ask(cards[index].reasons),
            "nvmlDeviceGetComputeMode": lambda index: ask(cards[index].compute_mode),
            "nvmlDeviceGetMigMode": lambda index: [ask(cards[index].mig)] * 2,
            "nvmlDeviceGetP2PStatus": linked,
        }


def h100(**changes: Any) -> Card:
    return Card("NVIDIA H100 80GB HBM3", 80, (9, 0), **changes)


H200 = Card("NVIDIA H200", 141, (9, 0))
B200 = Card("NVIDIA B200", 180, (10, 0))
L40S = Card("NVIDIA L40S", 45, (8, 9))
RTX_4090 = Card(
    "NVIDIA GeForce RTX 4090", 24, (8, 9), ecc=None, uncorrected=None, remapped=None, mig=None
)
RTX_PRO_6000 = Card("NVIDIA RTX PRO 6000 Blackwell", 95, (12, 0))
A100 = Card("NVIDIA A100-SXM4-80GB", 80, (8, 0))
T4 = Card("Tesla T4", 15, (7, 5), mig=None)


class Look:
    """Puts a machine behind NVML and gives what the probes find."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def __call__(
        self,
        *cards: Card,
        asked: str | None = FP8,
        ours: dict[int, str] | None = None,
        torch_cuda: Callable[[], tuple[int, int]] = lambda: (13, 0),
        **machine: Any,
    ) -> dict[str, list[Row]]:
        for name, function in Machine(list(cards), **machine).functions().items():
            # Refused if NVML's Python module has no such function.
            self._monkeypatch.setattr(pynvml, name, function)
        target = serving_target(asked, probe_hardware(), {})
        return self.rows(target, CallOutcome((read_driver(),)), ours or {}, torch_cuda)

    def rows(
        self,
        target: ServingTarget,
        driver: CallOutcome[DriverState],
        ours: dict[int, str],
        torch_cuda: Callable[[], tuple[int, int]] = lambda: (13, 0),
    ) -> dict[str, list[Row]]:
        """The rows by their probe's name."""

        def holder(pid: int) -> Holder:
            return Holder("python3" if pid < 1000 else None, ours.get(pid))

        readers = Readers(driver=driver, holder=holder, torch_cuda=torch_cuda)
        found: dict[str, list[Row]] = {}
        finding: ProbeFinding
        for finding in examine(PROBES, target, readers):
            found.setdefault(finding.probe, []).append(finding.row)
        return found


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    return Look(monkeypatch)


def colours(rows: dict[str, list[Row]]) -> dict[str, str]:
    return {probe: " ".join(row.status for row in found) for probe, found in rows.items()}


@pytest.mark.parametrize("card", [h100(), H200, B200])
def test_two_large_gpus_with_a_driver_for_cuda_13_are_green(look: Look, card: Card) -> None:
    rows = look(card, card)

    assert colours(rows) == {
        "gpus": "green",
        "gpu-memory": "green green",
        "gpu-health": "green green",
        "compute-capability": "green green",
        "kernel-shared-memory": "green green",
        "nvlink": "green",
        "driver": "green",
    }
    assert rows["kernel-shared-memory"][0].measured == "232,448 bytes a block"
    assert rows["driver"][0].measured == "580.65.06, for CUDA up to 13.0"
    assert rows["driver"][0].wanted.endswith("driver 580 or newer")
    assert "GPU-00000000-1111" in rows["gpu-memory"][0].measured
    assert rows["gpu-health"][0].measured == "ECC on, nothing wrong"


@pytest.mark.parametrize("card", [RTX_4090, L40S])
def test_cards_that_are_too_small_are_red_and_their_shared_memory_amber(
    look: Look, card: Card
) -> None:
    rows = look(card, card)

    assert colours(rows)["gpus"] == "red"
    assert "76 GiB free each" in rows["gpus"][0].wanted
    assert "nano" in str(rows["gpus"][0].action)
    assert colours(rows)["kernel-shared-memory"] == "amber amber"
    assert rows["kernel-shared-memory"][0].measured.startswith("101,376 bytes a block")
    assert colours(rows)["compute-capability"] == "green green"


def test_a_large_card_with_little_shared_memory_is_amber_in_that_alone(look: Look) -> None:
    statuses = colours(look(RTX_PRO_6000, RTX_PRO_6000))

    assert "red" not in " ".join(statuses.values())
    assert {probe for probe, status in statuses.items() if "amber" in status} == {
        "kernel-shared-memory"
    }


def test_shared_memory_matters_to_fp8_alone(look: Look) -> None:
    assert colours(look(L40S, asked="zai-org/GLM-4.5-Air"))["kernel-shared-memory"] == "green"
    assert colours(look(L40S, asked="zai-org/GLM-4.5-Air-FP8"))["kernel-shared-memory"] == "amber"


@pytest.mark.parametrize(
    ("card", "asked", "status", "words"),
    [
        (A100, FP8, "red", "8.9 or newer"),
        (A100, "zai-org/GLM-4.5-Air-FP8", "amber", "8.9 or newer for FP8"),
        (A100, "zai-org/GLM-4.5-Air", "green", "7.5 or newer"),
        (T4, "zai-org/GLM-4.5-Air", "amber", "8.0 or newer"),
        (Card("Tesla V100", 32, (7, 0)), "zai-org/GLM-4.5-Air", "red", "7.5 or newer"),
    ],
)
def test_capability_is_held_against_what_the_model_needs(
    look: Look, card: Card, asked: str, status: str, words: str
) -> None:
    (row, *_) = look(card, asked=asked)["compute-capability"]

    assert (row.status, row.wanted) == (status, words)


def test_a_capability_that_the_table_lacks_is_amber(look: Look) -> None:
    (row, *_) = look(Card("NVIDIA Next", 300, (99, 0)))["kernel-shared-memory"]

    assert (row.status, row.measured) == ("amber", "unknown for capability 99.0")


def test_whoever_holds_a_gpu_is_named_and_our_own_server_by_its_name(look: Look) -> None:
    rows = look(
        h100(free_gib=60, pids=(7,)),
        h100(free_gib=60, pids=(8, 5000)),
        ours={7: "default"},
    )

    first, second = rows["gpu-memory"]
    assert "60.0 GiB of 80.0 GiB free" in first.measured
    assert "held by python3 (process 7, 12.0 GiB, our server 'default')" in first.measured
    assert first.action == "`python -m launcher down --name default` frees it."
    assert "a process not seen from here (process 5000, 12.0 GiB)" in second.measured
    assert str(second.action).startswith("End process 8 ")
    # And then there is no room for the preset.
    assert colours(rows)["gpus"] == "red"


def test_memory_that_nobody_holds_and_that_is_not_free_is_amber(look: Look) -> None:
    row = look(h100(free_gib=50), h100())["gpu-memory"][0]

    assert row.status == "amber"
    assert row.measured.endswith("held by nobody whom the driver names")


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ({"uncorrected": 3}, "amber", "3 uncorrected ECC errors"),
        ({"remapped": (0, 1, 1, 0)}, "amber", "a memory row is to be replaced"),
        ({"remapped": (0, 1, 0, 1)}, "red", "a memory row cannot be replaced"),
        ({"reasons": 0x40}, "amber", "clock held down by heat (hardware)"),
        ({"reasons": 0x1 | 0x4}, "green", "nothing wrong"),
        ({"mig": 1}, "amber", "split by MIG"),
        ({"persistent": 0}, "amber", "persistence off"),
        ({"compute_mode": 2}, "red", "compute mode PROHIBITED"),
        ({"ecc": None, "uncorrected": None, "remapped": None}, "green", "ECC not told"),
        ({"persistent": 0, "remapped": (0, 1, 0, 1)}, "red", "persistence off"),
    ],
)
def test_what_ails_a_gpu_is_told(
    look: Look, fault: dict[str, Any], status: str, words: str
) -> None:
    (row, *_) = look(h100(**fault), h100())["gpu-health"]

    assert row.status == status
    assert words in row.measured
    assert (row.action is None) == (status == "green")


@pytest.mark.parametrize(
    ("linked", "status", "measured"),
    [
        (True, "green", "between all 2"),
        (False, "amber", "none between GPU 0 and 1"),
        (None, "amber", "the driver does not say"),
    ],
)
def test_nvlink_is_told_for_the_gpus_of_tensor_parallelism(
    look: Look,
    linked: bool | None,  # noqa: FBT001  # a parameter
    status: str,
    measured: str,
) -> None:
    (row,) = look(h100(), h100(), linked=linked)["nvlink"]

    assert (row.status, row.measured) == (status, measured)


def test_nvlink_is_no_matter_for_one_gpu(look: Look) -> None:
    assert "nvlink" not in look(h100(), asked="zai-org/GLM-4.5-Air")


@pytest.mark.parametrize(
    ("version", "cuda", "torch", "status"),
    [
        ("580.65.06", 13000, (13, 0), "green"),
        ("590.10", 13010, (13, 0), "green"),
        ("580.65.06", 13000, (13, 1), "amber"),
        ("570.172.08", 12080, (13, 0), "red"),
        ("580.65.06", 13000, (12, 9), "green"),
    ],
)
def test_the_driver_is_held_against_torch_s_cuda(
    look: Look, version: str, cuda: int, torch: tuple[int, int], status: str
) -> None:
    rows = look(h100(), h100(), version=version, cuda=cuda, torch_cuda=lambda: torch)

    assert rows["driver"][0].status == status


def test_without_torch_the_driver_s_row_says_why_it_cannot_tell(look: Look) -> None:
    def missing() -> tuple[int, int]:
        raise NoAnswerError("torch is not installed")

    (row,) = look(h100(), h100(), torch_cuda=missing)["driver"]

    assert (row.status, row.measured) == ("amber", "torch is not installed")


def test_nothing_about_gpus_is_red_where_none_is_needed(look: Look) -> None:
    sick = h100(remapped=(0, 1, 0, 1), free_gib=1, pids=(7,))

    statuses = colours(look(sick, asked="nano", version="450.1", cuda=11000))

    assert "red" not in " ".join(statuses.values())
    assert statuses["gpus"] == statuses["gpu-memory"] == "green"
    assert statuses["gpu-health"] == statuses["driver"] == "amber"


def test_without_a_driver_a_cpu_server_is_green_and_a_gpu_server_red(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    driver = CallOutcome((read_driver(),))
    on_cpu = look.rows(serving_target(None, probe_hardware(), {}), driver, {})
    on_gpu = look.rows(serving_target(FP8, probe_hardware(), {}), driver, {})

    assert colours(on_cpu) == {"gpus": "green", "driver": "green"}
    assert colours(on_gpu) == {"gpus": "red", "driver": "red"}


def test_a_driver_that_is_broken_is_no_missing_one(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mismatch() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    monkeypatch.setattr(pynvml, "nvmlInit", mismatch)

    rows = look.rows(
        serving_target("nano", probe_hardware(), {}), CallOutcome((read_driver(),)), {}
    )

    assert rows["gpus"][0].status == "amber"
    assert "mismatch" in rows["gpus"][0].measured


def test_a_gpu_that_is_lost_leaves_the_driver_s_versions(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(h100(), h100())

    def lost(_: int) -> str:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lost)

    assert read_driver() == DriverState("580.65.06", (13, 0), problem="GPU is lost")


def test_only_the_gpus_that_cuda_will_show_are_told(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    rows = look(h100(), h100())

    assert [row.subject for row in rows["gpu-memory"]] == ["GPU 1 memory"]
    assert rows["gpus"][0].status == "red"


def test_every_process_of_a_server_of_ours_is_told_by_the_server_s_name() -> None:
    store = RunStore("busy")
    store.create()
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, RUN_ID_VARIABLE: "run-7"},
        start_new_session=True,
    ) as server:
        try:
            record = make_record(
                store.folder, name="busy", run_id="run-7", server=ProcessIdentity.of(server.pid)
            )
            store.write(record)

            assert our_processes() == {server.pid: "busy"}
        finally:
            server.kill()
    assert our_processes() == {}


def test_processes_are_told_by_name_and_no_server_of_ours_is_invented() -> None:
    assert our_processes() == {}
    assert find_holder({os.getpid(): "a"})(os.getpid()).run == "a"
    assert find_holder({})(os.getpid()).name
    assert find_holder({})(2**22 + 1) == Holder(None, None)


def test_a_process_whose_memory_the_driver_does_not_tell_is_named_all_the_same(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(h100(), h100())
    untold = [SimpleNamespace(pid=7, usedGpuMemory=None)]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: untold)

    state = read_driver()

    assert state.gpus[0].users == (GpuUser(7, None),)
