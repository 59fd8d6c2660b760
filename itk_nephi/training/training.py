"""train(): a model that predicts deformations, from many image pairs."""

from __future__ import annotations

import hashlib
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itk_nephi.evaluation.evaluation import MeanEvaluation
from itk_nephi.extras import named_extras
from itk_nephi.fields.device import memory_errors_named, upload
from itk_nephi.io.errors import plain_words, require_file
from itk_nephi.io.staging import locked
from itk_nephi.models.archive import ARCHIVE_ERRORS, read_archive, write_archive
from itk_nephi.models.encoder import LatentCodeTable
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.models.serialization import save_model
from itk_nephi.training.augmentation import Augmentation, TrainingExample, TrainingExamples
from itk_nephi.training.batch_objective import PairsObjective
from itk_nephi.training.pair_source import PairSource, contents_of
from itk_nephi.training.settings import TrainingSettings
from itk_nephi.training.validation import validate

CHECKPOINT, BEST, LAST = "checkpoint.pt", "best.safetensors", "last.safetensors"

CHECKPOINT_FORMAT = 2
"""What checkpoints are numbered by; others hold something else under the same names."""


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands after a step.

    Parameters
    ----------
    done, total : int
        Steps done and to do.
    losses : dict of str to float
        The terms of the objective, unweighted, and their weighted sum ``total``; over the pairs of
        all devices.
    validation : MeanEvaluation or None
        Of the validation pairs, where this step had one.
    """

    done: int
    total: int
    losses: dict[str, float]
    validation: MeanEvaluation | None


@memory_errors_named("use a smaller batch_size, fewer points, or a smaller box of the model")
def train(
    pairs: PairSource,
    validation_pairs: PairSource,
    model_settings: ModelSettings,
    settings: TrainingSettings,
    output: Path,
    *,
    augmentation: Augmentation | None = None,
    resume: bool = False,
    device: str = "cpu",
    callback: Callable[[TrainingProgress], None] | None = None,
) -> bool:
    """Train a model on pairs, and leave the best, the last and a checkpoint in a folder.

    On a CPU the same settings and seed give a bit-identical model, also when training was
    interrupted and resumed. Several devices or nodes run the script that called this function
    again, once each, as PyTorch's distributed data parallel training does, and share each step's
    pairs.

    Parameters
    ----------
    pairs, validation_pairs : PairSource
        What to train on, and what to judge the model by.
    model_settings : ModelSettings
        What the model is. Without an encoder each pair gets a free code of its own (an
        auto-decoder).
    settings : TrainingSettings
        How it is trained.
    output : Path
        A folder for ``best.safetensors``, ``last.safetensors``, ``checkpoint.pt`` and the events of
        TensorBoard. Each file is written atomically.
    augmentation : Augmentation, optional
        Random changes of the images; none when left out.
    resume : bool
        Resume from the folder's checkpoint. With other validation pairs the best model is that of
        the steps from there on.
    device : str
        ``"cpu"``, or ``"cuda"``.
    callback : callable, optional
        Called after every step, on the first device; may raise StopIteration to end it early.

    Returns
    -------
    bool
        Whether it was ended early, by Ctrl-C or ``callback``; then it can be resumed.

    Raises
    ------
    ValueError
        If the checkpoint is missing, in the way, or was made with other settings; if another
        training writes to the folder; if there are no pairs, or of other dimensions than the model.
    RuntimeError
        If the objective is no longer finite.
    MemoryError
        If the memory of a GPU does not suffice.
    ImportError
        If what ``pip install 'itk-nephi[train]'`` brings is missing.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322: the objective and Adam. Warm-up, decay, and separate
    learning rates are ours.
    """
    augmentation = augmentation or Augmentation()
    if model_settings.encoder is None and not augmentation.changes_nothing:
        raise ValueError("expected no augmentation of pairs with codes of their own, got some")
    _check_pairs("pairs", pairs, model_settings)
    _check_pairs("validation_pairs", validation_pairs, model_settings)
    fabric, writer_class = _engine(settings, device)
    run = _Training(fabric, pairs, validation_pairs, model_settings, settings, augmentation)
    if resume:
        run.restore(output / CHECKPOINT)
    elif (output / CHECKPOINT).exists():
        raise ValueError(f"expected a folder without {CHECKPOINT}, or to resume, got {output}")
    fabric.barrier()
    stopped, is_first = False, fabric.global_rank == 0
    lock = locked(output, "training") if is_first else nullcontext()
    with _writing(output), lock, _interruptible() as stop:
        writer = writer_class(str(output), purge_step=run.done + 1) if is_first else None
        if writer is not None and resume and run.is_due:
            run.validate(output)  # it may have been killed before it did
        while run.done < settings.steps and not stopped:
            with run.kept(output if is_first else None):
                losses = run.compute_gradients()
            run.take_step(losses)
            if writer is not None:
                with run.kept(output):
                    validation = run.validate(output) if run.is_due else None
                    _write_scalars(writer, run.done, losses, validation)
                    try:
                        if callback is not None:
                            callback(TrainingProgress(run.done, settings.steps, losses, validation))
                    except StopIteration:
                        stop.set()
            requested = torch.tensor(float(stop.is_set()))
            stopped = bool(fabric.all_reduce(requested, reduce_op="sum") > 0)
            if writer is not None and stopped:
                run.save(output)
        if writer is not None:
            writer.close()
    return stopped


def _check_pairs(name: str, pairs: PairSource, model_settings: ModelSettings) -> None:
    """Check what would else be found when the first pair is drawn, or after many steps."""
    if not len(pairs):
        raise ValueError(f"expected {name} to be one pair or more, got none")
    model_settings.fit_box(pairs[0].fixed_image)


class _Training:
    """A training between two steps, which a checkpoint holds."""

    def __init__(
        self,
        fabric: Any,
        pairs: PairSource,
        validation_pairs: PairSource,
        model_settings: ModelSettings,
        settings: TrainingSettings,
        augmentation: Augmentation,
    ) -> None:
        generator = torch.Generator().manual_seed(settings.seed)
        self.model = NePhi(model_settings, generator)
        codes = None
        if model_settings.encoder is None:
            codes = LatentCodeTable(
                len(pairs), model_settings.field, model_settings.bounds, generator
            )
        self.objective = PairsObjective(self.model, codes, settings)
        weights = [*self.model.field.parameters(), *self.model.inverse_field.parameters()]
        rest = {id(weight) for weight in weights}
        others = [values for values in self.objective.parameters() if id(values) not in rest]
        self.optimizer = torch.optim.Adam([{"params": weights}, {"params": others}])
        self.rates = (settings.network_learning_rate, settings.code_learning_rate)
        self.done, self.best = 0, -math.inf
        self._fabric, self._settings = fabric, settings
        self._samples = TrainingExamples(pairs, model_settings, augmentation, settings.seed)
        self._objective_of_all, self._optimizer_of_all = fabric.setup(
            self.objective, self.optimizer
        )
        self._validation_pairs = validation_pairs
        described = {"model": model_settings, "augmentation": augmentation} | asdict(settings)
        self._what = {name: repr(value) for name, value in described.items()}
        self._what["pairs"] = _digest(pairs)

    @property
    def is_due(self) -> bool:
        """Whether the model is validated after the steps done."""
        settings = self._settings
        return self.done % settings.validate_every == 0 or self.done == settings.steps

    @contextmanager
    def kept(self, output: Path | None) -> Iterator[None]:
        """Save what was reached where something raises between steps, such as a damaged image."""
        try:
            yield
        except Exception:
            if output is not None and self.done:
                self.save(output)
            raise

    def validate(self, output: Path) -> MeanEvaluation:
        """Save what was reached, validate the model, and write it where it is the best one."""
        self.save(output)
        pairs = self._validation_pairs
        found = validate(self.model, (pairs[n] for n in range(len(pairs))), self._fabric.device)
        if found.merit > self.best:
            self.best = found.merit
            save_model(output / BEST, self.model)
        return found

    def compute_gradients(self) -> dict[str, float]:
        """Compute gradients, and return the losses, averaged over the pairs of all devices."""
        settings, fabric = self._settings, self._fabric
        self.objective.train()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * settings.learning_rate(self.done)
        found = []
        for part in range(settings.accumulate):
            turn = self.done * settings.accumulate + part
            batch = self._batch(turn * fabric.world_size + fabric.global_rank)
            last = part == settings.accumulate - 1
            with fabric.no_backward_sync(self._objective_of_all, enabled=not last):
                losses = self._objective_of_all(*batch)
                fabric.backward(losses["total"] / settings.accumulate)
            found.append(torch.stack(list(losses.values())).detach())
        values = fabric.all_reduce(torch.stack(found).mean(dim=0), reduce_op="mean")
        return dict(zip(losses, values.tolist(), strict=True))

    def take_step(self, losses: dict[str, float]) -> None:
        """Take a step along the gradients, unless a loss is not finite."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise RuntimeError(
                    f"the training diverged at step {self.done + 1}, where {name} is {value}; try "
                    "smaller learning rates or a larger gradicon_weight"
                )
        self._optimizer_of_all.step()
        self._optimizer_of_all.zero_grad()
        self.done += 1

    def _batch(self, number: int) -> tuple[TrainingExample, Tensor, Tensor]:
        """Return a batch: its images, the numbers of its pairs, and its points."""
        settings, bounds = self._settings, torch.tensor(self.model.settings.bounds)
        every = range(number * settings.batch_size, (number + 1) * settings.batch_size)
        shape = (2, settings.points, len(bounds))
        coords = []
        for index in every:
            state = np.random.SeedSequence([settings.seed, index]).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(state[0]))
            coords.append((2 * torch.rand(shape, generator=generator) - 1) * bounds)
        images = zip(*(self._samples[index] for index in every), strict=True)
        device = self._fabric.device
        return (
            TrainingExample(*(upload(torch.stack(values), device) for values in images)),
            upload(torch.tensor([self._samples.number_of_pair(index) for index in every]), device),
            upload(torch.stack(coords), device),
        )

    def save(self, output: Path) -> None:
        """Write the model and then a checkpoint, each atomically."""
        save_model(output / LAST, self.model)
        state = {
            "format": CHECKPOINT_FORMAT,
            "what": self._what,
            "validation_pairs": _digest(self._validation_pairs),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "best": self.best,
        }
        write_archive(state, output / CHECKPOINT)

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint."""
        require_file(path, "the checkpoint")
        try:
            state = dict(read_archive(path, self._fabric.device))
            what, form = dict(state["what"]), int(state.get("format", 1))
        except ARCHIVE_ERRORS as error:
            raise ValueError(
                f"expected a checkpoint of a training, got {path}: {plain_words(error)}"
            ) from error
        if form != CHECKPOINT_FORMAT:
            raise ValueError(
                f"expected a checkpoint of format {CHECKPOINT_FORMAT}, got {path} of format {form}"
                ": resume with the version of itk-nephi that wrote it, or train anew"
            )
        changed = [name for name, value in self._what.items() if what.get(name) != value]
        if changed:
            raise ValueError(
                f"expected the settings of the checkpoint {path}, got other {', '.join(changed)}"
            )
        try:
            self.objective.load_state_dict(state["objective"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.done = int(state["done"])
            if state["validation_pairs"] == _digest(self._validation_pairs):
                self.best = float(state["best"])
        except ARCHIVE_ERRORS as error:
            raise ValueError(
                f"expected a checkpoint of a training, got {path}: {plain_words(error)}"
            ) from error


def _digest(pairs: PairSource) -> str:
    # names of files may be those of patients
    return hashlib.sha256(contents_of(pairs).encode()).hexdigest()


def _engine(settings: TrainingSettings, device: str) -> tuple[Any, Any]:
    """Return what runs the steps on all devices, and the class that writes for TensorBoard."""
    with named_extras():
        from lightning_fabric import Fabric
        from torch.utils.tensorboard import SummaryWriter
    if device not in ("cpu", "cuda"):
        raise ValueError(f"expected device to be cpu or cuda, got {device!r}")
    if device == "cuda" and torch.cuda.device_count() < settings.devices:
        raise ValueError(
            f"expected {settings.devices} GPUs, got {torch.cuda.device_count()} available"
        )
    several = settings.devices * settings.nodes > 1
    fabric = Fabric(
        accelerator=device,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy="ddp" if several else "auto",
    )
    fabric.launch()
    return fabric, SummaryWriter


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Name the folder that TensorBoard could not write to, which its errors do not."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(output)) from error


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that a step is taken whole; the second interrupts."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupt(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)


def _write_scalars(
    writer: Any, step: int, losses: dict[str, float], validation: MeanEvaluation | None
) -> None:
    for name, value in losses.items():
        writer.add_scalar(f"loss/{name}", value, step)
    for name, value in (asdict(validation) if validation else {}).items():
        if value is not None:
            writer.add_scalar(f"validation/{name}", value, step)
