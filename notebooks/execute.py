"""Run notebooks from top to bottom and keep what they print and draw, as readers find them.

    pip install -e ".[notebooks]"
    python notebooks/execute.py                    # those whose cells have changed since they were run
    python notebooks/execute.py one_network ...    # these

A notebook remembers the digest of the cells that made its output: `tests/test_notebooks.py` compares it.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import nbformat
import tqdm
from nbclient import NotebookClient

HERE = Path(__file__).parent
DOTS = 80
"""Dots an inch of the pictures: eleven notebooks in the repository should stay small."""


def digest(notebook: Any) -> str:
    """Of the code of all cells, in their order."""
    code = "\n\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def execute(path: Path) -> None:
    """Run a notebook in its folder and write it back with its output, without times and versions of this machine."""
    notebook = nbformat.read(path, as_version=4)
    style = f"%config InlineBackend.rc = {{'figure.dpi': {DOTS}}}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(style))
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", record_timing=False, coalesce_streams=True)
    client.execute(cwd=str(HERE))
    del notebook.cells[0]
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "nnthermo": {"executed": digest(notebook)},
    }
    nbformat.write(notebook, path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = sorted(path.stem for path in HERE.glob("*.ipynb"))
    parser.add_argument("notebooks", nargs="*", choices=[*every, []], help="names; those that have changed without one")
    chosen = parser.parse_args().notebooks
    if not chosen:
        read = {name: nbformat.read(HERE / f"{name}.ipynb", as_version=4) for name in every}
        chosen = [name for name, nb in read.items() if nb.metadata.get("nnthermo", {}).get("executed") != digest(nb)]
    for name in tqdm.tqdm(chosen):
        execute(HERE / f"{name}.ipynb")


if __name__ == "__main__":
    main()
