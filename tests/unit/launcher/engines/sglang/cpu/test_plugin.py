"""The plugin is inert unless switched on, and a failure ends the process."""

import subprocess
import sys
import types

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


@pytest.fixture
def fake_sglang(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SGLang that has nothing but what says on which platform it is."""
    context = types.ModuleType("sglang.srt.runtime_context")
    context.override_platform = (  # type: ignore[attr-defined]
        lambda **_: types.SimpleNamespace(install=lambda: None)
    )
    # Another test may have imported the real one.
    for name in [name for name in sys.modules if name.partition(".")[0] == "sglang"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("sglang", "sglang.srt"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, context.__name__, context)
    monkeypatch.setenv(settings.ENVIRONMENT_SWITCH, "1")


@pytest.mark.usefixtures("fake_sglang")
def test_a_hook_that_has_no_target_ends_the_process() -> None:
    with pytest.raises(SystemExit, match=r"AttributeError.*0\.5\.23"):
        plugin.activate()


@pytest.mark.usefixtures("fake_sglang")
def test_hooks_that_hold_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(hooks, "install", installed.extend)
    plugin.activate()
    assert "torch.cuda.synchronize" in installed


@pytest.mark.usefixtures("fake_sglang")
def test_a_changed_sglang_ends_the_process_with_the_version_it_was_written_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(sys.modules["sglang.srt.runtime_context"], "override_platform")
    with pytest.raises(SystemExit, match=r"ImportError.*0\.5\.23"):
        plugin.activate()
