"""float64, strict dtype promotion, no silent rank promotion, and a compile cache, for every test."""

import gc
import importlib.metadata
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# of processes that tests start, as `pyproject.toml` has it for the tests themselves
os.environ.setdefault("PYTHONWARNINGS", "ignore:Error reading persistent compilation cache entry:UserWarning")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more only wait for each other on matrices this small
os.environ.setdefault(
    "XLA_FLAGS",  # most of the time of the tests is compiling, which takes jaxlib 0.9 a third of it without MLIR
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    # an unknown flag ends the process, and later versions have none for it
    + " --xla_cpu_use_fusion_emitters=false" * importlib.metadata.version("jaxlib").startswith("0.9."),
)

import hypothesis
import jax
import pytest

# again, for plugins of pytest may have imported JAX before this file set its environment
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update(
    "jax_persistent_cache_min_compile_time_secs", float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
)
jax.config.update(
    "jax_persistent_cache_min_entry_size_bytes", int(os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"])
)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "nnthermo",
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(  # for `mutate.py`: what fails need not be made small and explained
    "first failure",
    hypothesis.settings.get_profile("nnthermo"),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    report_multiple_bugs=False,
)
hypothesis.settings.load_profile("nnthermo")


def pytest_collection_finish():
    gc.freeze()  # what imports made lives to the end: collections need not walk through it


@pytest.fixture
def getkey():
    """A function that returns a new random key at each call, the same sequence in each test."""
    count = iter(range(1_000_000))
    return lambda: jax.random.fold_in(jax.random.key(20200409), next(count))


@pytest.fixture(autouse=True, scope="module")
def few_memory_maps():
    """Compiled functions are dropped before they use up the memory maps that Linux allows a process (65,530).

    Each holds about ten of them, and XLA ends the process when no more are to be had. The disk cache keeps them all.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs of studies one after the other where the compiled programs are."""
    from nnthermo.experiments import processes

    def run_all(run, jobs, *, workers, report=None):
        for job in jobs:
            run(job, report)

    monkeypatch.setattr(processes, "run_all", run_all)
