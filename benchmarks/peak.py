"""The most multiply-adds that one core of this machine can do: what a throughput is set against."""

import ctypes
import time

import llvmlite.binding as llvm

CHAINS = 12
"""Independent sums, so that the latency of one addition is hidden behind the others."""


def kernel(width: int) -> str:
    """LLVM IR of a loop of ``CHAINS`` vector multiply-adds."""
    vector = f"<{width} x double>"
    phis = "\n".join(f"  %a{i} = phi {vector} [ zeroinitializer, %entry ], [ %b{i}, %loop ]" for i in range(CHAINS))
    fmas = "\n".join(
        f"  %b{i} = call {vector} @llvm.fma.v{width}f64({vector} %v, {vector} %v, {vector} %a{i})"
        for i in range(CHAINS)
    )
    sums = "\n".join(f"  %s{i + 1} = fadd {vector} %s{i}, %b{i + 1}" for i in range(CHAINS - 1))
    return f"""
declare {vector} @llvm.fma.v{width}f64({vector}, {vector}, {vector})
define void @spin(i64 %n, double %x, ptr %out) {{
entry:
  %one = insertelement {vector} poison, double %x, i32 0
  %v = shufflevector {vector} %one, {vector} poison, <{width} x i32> zeroinitializer
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k1, %loop ]
{phis}
{fmas}
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, %n
  br i1 %more, label %loop, label %done
done:
  %s0 = fadd {vector} zeroinitializer, %b0
{sums}
  store {vector} %s{CHAINS - 1}, ptr %out, align 8
  ret void
}}
"""


def gigaflops(width: int) -> float:
    """Measured 1e9 floating-point operations per second of one core, with vectors of ``width`` doubles."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    code = llvm.create_mcjit_compiler(llvm.parse_assembly(kernel(width)), machine)
    code.finalize_object()
    spin = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p)(code.get_function_address("spin"))
    out, rounds = (ctypes.c_double * width)(), 5_000_000
    best = 0.0
    for _ in range(7):
        start = time.process_time()
        spin(rounds, 0.5, ctypes.addressof(out))
        best = max(best, 2.0 * width * CHAINS * rounds / (time.process_time() - start) / 1e9)
    return best


def peak() -> float:
    """The best over vector widths, in GFLOP/s of one core."""
    wide = any(llvm.get_host_cpu_features().get(name) for name in ("avx512f",))
    return max(gigaflops(width) for width in ([4, 8] if wide else [2, 4]))
