"""The ``sgl_kernel`` stand-in, imported the way a server process imports it."""

import subprocess
import sys

import pytest

from launcher.engines.sglang.plugins.cpu import settings

pytest.importorskip("torch")

CODE = """
import sgl_kernel, torch
assert set(sgl_kernel.__all__) <= set(dir(sgl_kernel))
ops = torch.ops.sgl_kernel
# SGLang takes its plain PyTorch layers while this operator is missing.
assert not hasattr(ops, "convert_weight_packed")
q, cache = torch.randn(1, 2, 4), torch.randn(3, 1, 4)
out = torch.empty_like(q)
row, zero = torch.tensor([[2, 0, 1]], dtype=torch.int32), torch.tensor([0])
ops.decode_attention_cpu(q, cache, cache, 1.0, 1.0, out, None, None, None, torch.empty(0), row,
                         zero, torch.tensor([1]), 1.0, 0.0, False, 0, None, None)
assert torch.allclose(out, cache[2].expand(1, 2, 4))
ops.extend_attention_cpu(q, cache[:1], cache[:1], out, cache, cache, 1.0, 1.0, row, zero,
                         torch.tensor([1]), torch.tensor([1]), zero, 1, 1.0, 0.0, False, 0,
                         None, None, None, True)
assert torch.allclose(out, cache[0].expand(1, 2, 4))
print("fine", sgl_kernel.__file__)
"""


def test_shim_takes_the_place_of_the_cuda_wheel() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE],
        env={"PYTHONPATH": settings.server_environment([0])["PYTHONPATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"fine {settings.SHIM_FOLDER}")
