"""Compile a kernel once, keep the machine code on disk, and load it in milliseconds the next time.

The cache lies in ``$LIVINGDRUG_CACHE`` or the user's cache folder, readable by the user alone. A file's name is a hash
of everything that decides its bits: the model, the request, the engine's own sources, the processor and the version
of llvmlite; a damaged file is recompiled.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from livingdrug.engine.layout import JumpPlan, Layout, Request
from livingdrug.engine.lowering import lower
from livingdrug.errors import LivingDrugError, SolveError
from livingdrug.storage import cache_folder, write_atomically

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

_MARK = b"livingdrug kernel 1\n"


@dataclass
class CompiledKernel:
    """Compiled code of one model and request.

    Attributes:
        layout: where each quantity lives.
        request: what the kernel computes.
        lanes: patients side by side in one vector.
        was_cached: whether the machine code came from disk.
    """

    layout: Layout
    request: Request
    lanes: int
    was_cached: bool
    advance: Callable[[int], None]
    prepare: Callable[[int, int, int], None]
    _engine: Any  # keeps the code alive


def vector_width() -> int:
    """Doubles in the widest vector of this processor.

    Raises:
        SolveError: if the processor has no fused multiply-add on vectors (x86-64-v3 or 64-bit Arm is needed).
    """
    features = _host()[1]
    if platform.machine() in {"aarch64", "arm64"}:
        return 2
    if features.get("avx512f"):
        return 8
    if features.get("avx2") and features.get("fma"):
        return 4
    raise SolveError(
        "the solver needs a processor with AVX2 and FMA (x86-64-v3, since 2013) or 64-bit Arm; this one is "
        f"{platform.machine()} ({llvm.get_host_cpu_name()}) without them"
    )


@cache
def _host() -> tuple[str, dict[str, bool], str]:
    features = llvm.get_host_cpu_features()
    return llvm.get_host_cpu_name(), dict(features), features.flatten()


@cache
def _engine_sources() -> str:
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in [*sorted(here.glob("*.py")), here.parent / "model" / "expressions.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


_loaded: dict[str, CompiledKernel] = {}


def compile_kernel(model: type[Model], request: Request, lanes: int | None = None) -> CompiledKernel:
    """Compiled code for a model, from memory, from disk, or made now.

    Args:
        model: a declared model.
        request: what is to be computed.
        lanes: patients per vector; default is what the processor offers. Any width gives the same bits.
    """
    width = vector_width() if lanes is None else lanes
    cpu, _, features = _host()
    facts = [model.fingerprint, repr(request), width, _engine_sources(), cpu, features, llvmlite.__version__]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    if key not in _loaded:
        folder = cache_folder("kernels")
        path = None if folder is None else folder / f"{key}.kernel"
        stored = None if path is None else _read(path)
        if stored is not None:
            layout, code = stored
        else:
            layout, code = _build(model, request, width)
            if path is not None:
                with contextlib.suppress(LivingDrugError):  # a full disk must not stop a solve
                    write_atomically(path, _pack(layout, code))
        _loaded[key] = _load(layout, request, width, code, stored is not None)
    return _loaded[key]


def _build(model: type[Model], request: Request, lanes: int) -> tuple[Layout, bytes]:
    from livingdrug.engine.kernel import write_kernel

    system = lower(model, request)
    g = system.graph
    system.layout.flops = {
        "rates": g.flops(system.rates),
        "jacobian": g.flops([*system.rates, *system.slopes.values(), *system.rates_by_time]),
        "pattern": len(system.pattern),
    }
    text = write_kernel(system, request, lanes)
    return system.layout, _machine_code(text)


def _machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, _, features = _host()
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=2, jit=True)


def _machine_code(text: str) -> bytes:
    machine = _machine()
    module = llvm.parse_assembly(text)
    module.verify()
    # The graph has shared what can be shared: LLVM's full pipeline finds no more and takes up to 100 times as long.
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2)))
    return machine.emit_object(module)


def _load(layout: Layout, request: Request, lanes: int, code: bytes, was_cached: bool) -> CompiledKernel:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    advance = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("advance"))
    prepare = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
        engine.get_function_address("prepare")
    )
    return CompiledKernel(layout, request, lanes, was_cached, advance, prepare, engine)


# -- files ----------------------------------------------------------------------------------------------------------
def _pack(layout: Layout, code: bytes) -> bytes:
    facts = json.dumps(asdict(layout)).encode()
    body = np.array([len(facts)], np.int64).tobytes() + facts + code
    return _MARK + hashlib.sha256(body).digest() + body


def _read(path: Path) -> tuple[Layout, bytes] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(_MARK)
    body = data[start + 32 :]
    if data[:start] != _MARK or hashlib.sha256(body).digest() != data[start : start + 32]:
        return None
    size = int(np.frombuffer(body[:8], np.int64)[0])
    facts = json.loads(body[8 : 8 + size])
    facts["jumps"] = [JumpPlan(**j) for j in facts["jumps"]]
    facts["stops"] = [tuple(s) for s in facts["stops"]]
    return Layout(**facts), body[8 + size :]
