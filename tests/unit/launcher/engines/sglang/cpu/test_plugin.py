"""The plugin is inert unless switched on, and a failure ends the process."""

import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from launcher.engines.sglang.plugins import hooks
from launcher.engines.sglang.plugins.cpu import plugin, settings


def test_inert_plugin_imports_neither_torch_nor_sglang() -> None:
    code = (
        "import sys; from launcher.engines.sglang.plugins.cpu import plugin; plugin.activate(); "
        "print(sorted({'torch', 'sglang', 'sgl_kernel'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(settings.PACKAGE_ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.strip() == "[]"


def test_any_other_value_leaves_it_inert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.ENVIRONMENT_SWITCH, "0")
    monkeypatch.setattr(plugin, "_install", lambda: pytest.fail("must not install"))
    plugin.activate()


class FakeRegistry:
    """SGLang's registry as far as the plugin uses it; it applies nothing."""

    targets: list[str]

    def __init__(self) -> None:
        self.targets = []

    def register(self, target: str, _hook: Callable[..., object], _kind: object) -> None:
        self.targets.append(target)

    def apply_hooks(self) -> None:
        """Fail silently, as the real one does."""


@pytest.fixture
def fake_sglang(monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    registry = FakeRegistry()
    module = types.ModuleType("sglang.srt.plugins.hook_registry")
    module.HookRegistry = registry  # type: ignore[attr-defined]
    module.HookType = types.SimpleNamespace(REPLACE=1, AFTER=2)  # type: ignore[attr-defined]
    context = types.ModuleType("sglang.srt.runtime_context")
    context.override_platform = (  # type: ignore[attr-defined]
        lambda **_: types.SimpleNamespace(install=lambda: None)
    )
    for name in ("sglang", "sglang.srt", "sglang.srt.plugins"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, context.__name__, context)
    monkeypatch.setenv(settings.ENVIRONMENT_SWITCH, "1")
    return registry


def test_a_hook_that_was_not_applied_ends_the_process(
    fake_sglang: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "is_hooked", lambda target: "pynccl" not in target)
    with pytest.raises(SystemExit, match=r"hooks not applied: .*PyNcclCommunicator"):
        plugin.activate()
    assert "torch.cuda.synchronize" in fake_sglang.targets


@pytest.mark.usefixtures("fake_sglang")
def test_applied_hooks_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "is_hooked", lambda _target: True)
    plugin.activate()


@pytest.mark.usefixtures("fake_sglang")
def test_a_changed_sglang_ends_the_process_with_the_version_it_was_written_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(sys.modules["sglang.srt.runtime_context"], "override_platform")
    with pytest.raises(SystemExit, match=r"ImportError.*0\.5\.23"):
        plugin.activate()
