"""What does importing nnthermo cost beside importing JAX?

CPU time of whole processes, started in turns. `import nnthermo` alone loads none of its modules; what an example needs
is loaded when its names are first asked for, so the honest figure is that of the names of the README's first example.
The aim: within 20 % of `import jax`.

    python benchmarks/importing.py
"""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from _timing import machine

ROUNDS = 15


def cpu_seconds(code: str) -> float:
    """Of all threads of a process that runs the code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    names = sorted(set(re.findall(r"\bnt\.(\w+)", readme.split("```python\n")[1].split("```")[0])))
    programs = {
        "import jax": "import jax",
        "import nnthermo": "import nnthermo",
        "import jax and nnthermo": "import jax, nnthermo",
        "and the names of the first example": f"import jax, nnthermo; [getattr(nnthermo, n) for n in {names!r}]",
        "and nt.measure": "import jax, nnthermo; nnthermo.measure",
        "and every name": "import jax, nnthermo; [getattr(nnthermo, n) for n in dir(nnthermo)]",
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(ROUNDS + 1):
        for name, code in programs.items():
            spent = cpu_seconds(code)
            if turn:  # the first round fills the caches of the disk
                seconds[name].append(spent)
    print(machine(), "\n")
    print("| | median CPU s | × import jax | least | × |\n|---|---|---|---|---|")
    median, least = (f(seconds["import jax"]) for f in (np.median, np.min))
    for name, spent in seconds.items():
        typical, best = np.median(spent), np.min(spent)
        print(f"| {name} | {typical:.3f} | {typical / median:.2f} | {best:.3f} | {best / least:.2f} |")


if __name__ == "__main__":
    main()
