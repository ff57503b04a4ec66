"""Checkpoints of long runs: written whole or not at all, and refused by a run they do not belong to."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnthermo._checks import check, extra, refuse


class Checkpoint:
    """Where a run saves its state, and resumes from (Orbax underneath).

    A checkpoint appears under its final name only when it is complete, so a run killed while saving resumes from the
    one before.

    Args:
        folder: made if it is not there.
        every: epochs between saves; the last epoch is saved as well.
        keep: how many to keep.

    Raises:
        ValueError: `every` or `keep` below 1.
        ImportError: Orbax is not installed.
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, *, every: int = 1000, keep: int = 2) -> None:
        check("every", "be positive", every >= 1, every)
        check("keep", "be positive", keep >= 1, keep)
        self.folder, self.every = Path(folder).absolute(), int(every)
        orbax = extra("orbax.checkpoint", "checkpoint")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OSError(f"`checkpoint` must be a folder that can be written, but got {folder}: {error}") from error
        options = orbax.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._args = orbax.args
        self._manager = orbax.CheckpointManager(self.folder, options=options, item_names=("state", "about"))

    def save(self, state: Any, settings: dict[str, Any], position: tuple[int, int]) -> None:
        """Save a pytree of arrays at a position (epoch, rows recorded), with what identifies the run."""
        leaves = {str(k): np.array(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
        about = {"settings": settings, "position": list(position)}
        args = self._args.Composite(state=self._args.StandardSave(leaves), about=self._args.JsonSave(about))
        self._manager.save(position[0], args=args, force=True)

    def restore(self, like: Any, settings: dict[str, Any]) -> tuple[Any, tuple[int, int]] | None:
        """The newest saved state in the structure of `like`, and its position; None if nothing was saved.

        Raises:
            ValueError: the checkpoint was made by a run with other settings; the message names the first that differs.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        about = self._manager.restore(step, args=self._args.Composite(about=self._args.JsonRestore()))["about"]
        asked = json.loads(json.dumps(settings))
        for name, value in asked.items():
            saved = about["settings"].get(name)
            if saved != value:
                refuse("checkpoint", f"come from the same run (in {self.folder})", f"another `{name}`: {saved}, not {value}")
        leaves, structure = jax.tree.flatten(like)
        target = {str(k): np.zeros(np.shape(leaf), leaf.dtype) for k, leaf in enumerate(leaves)}
        args = self._args.Composite(state=self._args.StandardRestore(target))
        state = self._manager.restore(step, args=args)["state"]
        restored = [np.array(state[str(k)]) for k in range(len(leaves))]
        return jax.tree.unflatten(structure, restored), (int(about["position"][0]), int(about["position"][1]))
