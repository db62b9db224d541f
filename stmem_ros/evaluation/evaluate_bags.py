"""Bags through models: the tasks are made, worked on, and their results added up."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.evaluation.replay.bag_replay import ReplayOptions
from stmem_ros.evaluation.results.comparison import Comparison
from stmem_ros.evaluation.results.metrics_file import (
    METRICS,
    ModelScores,
    check_baseline,
    write_results,
)
from stmem_ros.evaluation.tasks.bag_task import (
    FRAMES,
    TIMINGS,
    BagResult,
    BagTask,
    task_key,
)
from stmem_ros.evaluation.tasks.engines import (
    Ended,
    Execution,
    one_line,
    run_here,
    run_in_processes,
    run_on_ray,
)
from stmem_ros.evaluation.tasks.online_comparison import FIGURES as ONLINE_FIGURES
from stmem_ros.evaluation.tasks.online_comparison import gather_online
from stmem_ros.io.bags import BagError, BagReader, find_image_topic
from stmem_ros.model.bundle import bundle_folder, read_info, resolve_device

BAGS = "bags"
ONLINE = "online"


@dataclass(frozen=True)
class EvaluationOptions:
    """What the figures depend on, beside bags and models.

    Attributes:
        replay: what is replayed of each bag.
        grid: of the costmap.
        device: torch device, ``auto`` for a GPU if there is one.
        threads: CPU threads of a task; numbers are the same only with the same threads.

    Raises:
        ValueError: a value is not allowed; the message names it.
    """

    replay: ReplayOptions = field(default_factory=ReplayOptions)
    grid: GridConfig = field(default_factory=GridConfig)
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it must be 1 or more")


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Attributes:
        scores: of each model, by name.
        comparisons: of models, and with a baseline.
        results: of the tasks that gave something.
        ended: how each task ended.
    """

    scores: dict[str, ModelScores]
    comparisons: tuple[Comparison, ...]
    results: tuple[BagResult, ...]
    ended: tuple[Ended, ...]


def evaluate_bags(
    bags: Sequence[Path],
    bundles: Sequence[str],
    options: EvaluationOptions,
    execution: Execution,
    out: Path,
    baseline: Path | None = None,
    play_online: Callable[[BagTask, Path], None] | None = None,
) -> Evaluation:
    """Replay each bag through each model and leave the results in ``out`` (metrics_file.py).

    Bags that give nothing are told of in the result; the others are scored.

    Args:
        bundles: shipped names or folders.
        baseline: ``metrics.json`` of an earlier run to compare with.
        play_online: plays a task's bag to the real node and leaves what ``online.py`` reads in a
            folder; raises ValueError or OSError if it cannot. None: bags are not replayed online.

    Raises:
        ValueError: a model, the device, the engine or the baseline cannot be used, or no bag gave
            anything.
    """
    resolve_device(options.device)
    models = dict(zip(unique_names(bundles), bundles, strict=True))
    infos = {name: read_info(bundle_folder(bundle)) for name, bundle in models.items()}
    if baseline is not None:
        if baseline.resolve() == (out / METRICS).resolve():
            raise ValueError(f"the baseline {baseline} lies where results go; choose another --out")
        classes = {name: [c.name for c in info.classes] for name, info in infos.items()}
        check_baseline(baseline, classes, unique_names(bags))
    out.mkdir(parents=True, exist_ok=True)
    for name in (METRICS, FRAMES, TIMINGS, ONLINE_FIGURES):
        (out / name).unlink(missing_ok=True)
    if not execution.resume:
        shutil.rmtree(out / BAGS, ignore_errors=True)
    tasks, unreadable = _tasks(bags, models, options, out, play_online is not None)
    kept = [task for task in tasks if execution.resume and task.done]
    left = [task for task in tasks if task not in kept]
    if kept:
        print(f"{len(kept)} of {len(tasks)} bags and models were finished before")
    order = {(task.bag, task.model): i for i, task in enumerate(tasks)}
    ended = unreadable + [Ended(task) for task in kept]
    if play_online is not None:
        played = [_played(task, play_online, out) for task in left]
        left = [task for task in played if isinstance(task, BagTask)]
        ended += [end for end in played if isinstance(end, Ended)]
    ended += _worked_on(left, execution)
    ended.sort(key=lambda e: order.get((e.task.bag, e.task.model), -1))
    if all(e.error is not None for e in ended):
        raise ValueError("; ".join(dict.fromkeys(f"{e.task.bag}: {e.error}" for e in ended)))
    configuration = dataclasses.asdict(options) | {
        "bags": {e.task.bag: e.task.path for e in ended},
        "models": models,
    }
    scores, comparisons = write_results(
        out, configuration, dataclasses.asdict(execution), models, ended, baseline
    )
    if play_online is not None:
        folders = {(e.task.bag, e.task.model): Path(e.task.folder) for e in ended if not e.error}
        gather_online(folders, out)
    results = tuple(BagResult.read(Path(e.task.folder)) for e in ended if e.error is None)
    return Evaluation(scores, comparisons, results, tuple(ended))


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """A name for each path: its last part, numbered where it occurs again."""
    names: list[str] = []
    for path in paths:
        name = Path(path).name.removesuffix(".mcap").removesuffix(".db3").removesuffix(".bag")
        name = name or "bag"
        count = sum(n == name or n.startswith(f"{name}~") for n in names)
        names.append(f"{name}~{count + 1}" if count else name)
    return names


def _tasks(
    bags: Sequence[Path],
    models: dict[str, str],
    options: EvaluationOptions,
    out: Path,
    online: bool,
) -> tuple[list[BagTask], list[Ended]]:
    """A task for each bag and model, and those whose bag cannot even be opened."""
    tasks, unreadable = [], []
    settings = dataclasses.asdict(options) | {"online": online}
    for bag, path in zip(unique_names(bags), bags, strict=True):
        error = None
        frames, key = 0, ""
        try:
            with BagReader(path) as reader:
                frames = find_image_topic(reader.topics, options.replay.topic).count
        except BagError as problem:
            error = str(problem)
        for model, bundle in models.items():
            if error is None:
                key = task_key(path, bundle_folder(bundle), settings)
            task = BagTask(
                bag,
                model,
                str(path.resolve()),
                bundle if not Path(bundle).is_dir() else str(Path(bundle).resolve()),
                options.device,
                options.threads,
                options.replay,
                options.grid,
                str((out / BAGS / bag / model).resolve()),
                frames,
                "",
                key,
            )
            if error is None:
                tasks.append(task)
            else:
                unreadable.append(Ended(task, error))
    return tasks, unreadable


def _played(
    task: BagTask, play_online: Callable[[BagTask, Path], None], out: Path
) -> BagTask | Ended:
    """The task with its replay through the real node."""
    folder = (out / ONLINE / task.bag / task.model).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        play_online(task, folder)
    except (OSError, ValueError) as error:
        return Ended(task, one_line(error))
    return dataclasses.replace(task, online=str(folder))


def _worked_on(tasks: Sequence[BagTask], execution: Execution) -> Iterator[Ended]:
    total = sum(task.frames for task in tasks)
    with tqdm(total=total, desc="evaluating", unit="frame", disable=not tasks) as progress:
        if execution.engine == "local" and execution.jobs == 1:
            yield from run_here(tasks, progress.update)
            return
        if execution.engine == "ray":
            ended = run_on_ray(tasks, execution.jobs, execution.address)
        else:
            ended = run_in_processes(tasks, execution.jobs)
        for one in ended:
            progress.update(one.task.frames)
            yield one
