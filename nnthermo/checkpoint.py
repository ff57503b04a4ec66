"""Checkpoints of long runs: written whole or not at all, and refused by a run they do not belong to."""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnthermo._checks import extra, instance, integer, is_key, refuse

ITEMS = ("state", "about")


class Checkpoint:
    """Where a run saves its state, and resumes from (Orbax underneath).

    A checkpoint appears under its final name only when it is complete, so a run killed while saving resumes from the
    one before. One run a folder at a time. What is saved does not depend on the devices: a run on a mesh goes on over
    another number of them. The processes that share a run need a folder that all of them see.

    Args:
        folder: made if it is not there.
        every: epochs between saves; the last epoch is saved as well.
        keep: how many to keep.

    Raises:
        ValueError: `every` or `keep` below 1.
        TypeError: `every` or `keep` that are not integers, `folder` that is not a path.
        ImportError: Orbax is not installed.
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, *, every: int = 1000, keep: int = 2) -> None:
        every, keep = integer("every", every, least=1), integer("keep", keep, least=1)
        instance("folder", folder, str | Path, "a path")
        self.folder, self.every = Path(folder).absolute(), every
        orbax = extra("orbax.checkpoint", "checkpoint")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable"
            probe.touch()
            probe.unlink(missing_ok=True)  # another process of the run may have been here
        except OSError as error:
            raise OSError(f"`checkpoint` must be a folder that can be written, but got {folder}: {error}") from error
        options = orbax.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._args = orbax.args
        with _torn_steps_expected():
            self._manager = orbax.CheckpointManager(self.folder, options=options, item_names=ITEMS)

    def save(self, state: Any, settings: dict[str, Any], position: tuple[int, int]) -> None:
        """Save a pytree of arrays at a position (epoch, rows recorded), with what identifies the run."""
        about = {"settings": settings, "position": list(position)}
        args = self._args.Composite(state=self._args.StandardSave(_stored(state)), about=self._args.JsonSave(about))
        self._manager.save(position[0], args=args, force=True)

    def restore(self, like: Any, settings: dict[str, Any]) -> tuple[Any, tuple[int, int]] | None:
        """The newest saved state in the structure of `like`, and its position; None if nothing was saved.

        Raises:
            ValueError: the checkpoint was made by a run with other settings; the message names the first that differs.
        """
        with _torn_steps_expected():
            self._manager.reload()  # another process may have saved since
        saved = (
            step for step in self._manager.all_steps() if all((self.folder / str(step) / i).is_dir() for i in ITEMS)
        )
        step = max(saved, default=None)
        if step is None:
            return None
        about = self._manager.restore(step, args=self._args.Composite(about=self._args.JsonRestore()))["about"]
        for name, value in json.loads(json.dumps(settings)).items():
            there = about["settings"].get(name)
            if there != value:
                requirement = f"come from the same run (in {self.folder})"
                refuse("checkpoint", requirement, f"another `{name}`: {there}, not {value}")
        args = self._args.Composite(state=self._args.StandardRestore(_stored(like)))
        state = self._manager.restore(step, args=args)["state"]
        leaves, structure = jax.tree.flatten(like)
        restored = [_as_leaf(state.get(str(k)), leaf) for k, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, restored), (int(about["position"][0]), int(about["position"][1]))


@contextlib.contextmanager
def _torn_steps_expected() -> Iterator[None]:
    """Without Orbax's warning of a step that a kill left without its metadata, which is whole or passed over."""

    def expected(record: logging.LogRecord) -> bool:
        return "_CHECKPOINT_METADATA" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(expected)
    try:
        yield
    finally:
        logger.removeFilter(expected)


def _stored(state: Any) -> dict[str, np.ndarray]:
    """The leaves by number, random keys as the numbers in them; empty arrays, which Orbax refuses, left out."""
    leaves = (jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in jax.tree.leaves(state))
    return {str(k): np.array(leaf) for k, leaf in enumerate(leaves) if np.size(leaf)}


def _as_leaf(value: Any, like: Any) -> Any:
    if value is None:
        return np.array(like)
    return jax.random.wrap_key_data(value, impl=jax.random.key_impl(like)) if is_key(like) else np.array(value)
