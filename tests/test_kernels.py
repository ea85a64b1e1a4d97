"""The kernels for a GPU as a whole: that NVIDIA's compiler takes them, where it is installed.

What they compute is tested where they are used: `tests.compiled_kernel` runs the same text on the processor.
"""

import shutil
import subprocess

import pytest

import rows
import streams
from backend import Kernel
from layers import fused_two_layer
from optim import adam
from tests.compiled_kernel import C_TYPES, Parameter

KERNELS = {value.name: value for module in (rows, streams, adam, fused_two_layer) for value in vars(module).values()
           if isinstance(value, Kernel)}


def test_they_are_found():
    assert set(KERNELS) == {"take_pair", "add_segments", "philox", "adapt", "square_of_pair", "square_of_pair_backward"}


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.parametrize("T", ["float", "double"])
@pytest.mark.parametrize("name", KERNELS)
def test_nvidias_compiler_takes_it(name, T, tmp_path):
    kernel = KERNELS[name]
    parameters = [*Parameter.all_of(kernel.inputs), *Parameter.all_of(kernel.outputs)]
    kinds = {"T": T, **C_TYPES}
    signature = ", ".join(f"{kinds[one.kind]}* {'' if one.raw else '_'}{one.name}" for one in parameters)
    each = "".join(f"{kinds[one.kind]}& {one.name} = _{one.name}[i];" for one in parameters if not one.raw)
    source = tmp_path / "kernel.cu"
    source.write_text(f"#include <cstdint>\ntypedef {T} T;\n__global__ void run(long long n, {signature}) {{\n"
                      "  long long i = blockIdx.x * (long long) blockDim.x + threadIdx.x;\n"
                      f"  if (i >= n) return;\n{each}\n{kernel.body}\n}}\n")
    told = subprocess.run(["nvcc", "-ptx", "-arch=sm_80", "-o", str(tmp_path / "kernel.ptx"), str(source)],
                          capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
