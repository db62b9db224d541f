"""Bags through models: the tasks are made, worked on, and their results added up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from stmem_ros.evaluation.replay.bag_moments import find_cameras, topic_names
from stmem_ros.evaluation.replay.replay_options import ReplayOptions
from stmem_ros.evaluation.results.bag_result import BagResult
from stmem_ros.evaluation.results.baseline import check_baseline
from stmem_ros.evaluation.results.comparison import Comparison
from stmem_ros.evaluation.results.folder import (
    EARLIER_EVALUATION,
    EARLIER_RECORDING,
    EARLIER_TASK,
    EvaluationFolder,
    RecordingFolder,
)
from stmem_ros.evaluation.results.online_figures import gather_online
from stmem_ros.evaluation.results.run_faults import RunFault, find_faults
from stmem_ros.evaluation.results.summary import (
    Configuration,
    Failure,
    ModelScores,
    write_summary,
)
from stmem_ros.evaluation.tasks.bag_task import BagTask, TaskOutcome, task_key
from stmem_ros.evaluation.tasks.engines import (
    JobOptions,
    one_line,
    run_here,
    run_in_processes,
    run_on_ray,
)
from stmem_ros.io.bags import BagError, BagReader
from stmem_ros.io.digests import file_digest
from stmem_ros.io.output_folder import OutputError, claim_folder, remove_folder, renew_folder
from stmem_ros.model.bundle import bundle_folder, read_info, resolve_device
from stmem_ros.parameters import DEFAULTS, NodeParameters
from stmem_ros.streaming.image_area import is_mask_file

# Plays a task's bag to the real node and leaves the recording in a folder; raises ValueError or
# OSError if it cannot.
OnlinePlayer = Callable[[BagTask, RecordingFolder], None]


@dataclass(frozen=True)
class EvaluationOptions:
    """What the figures depend on, beside bags and models.

    Attributes:
        replay: what is replayed of each bag.
        parameters: of the node that drives.
        device: torch device, ``auto`` for a GPU if there is one.
        threads: CPU threads of a task; numbers are the same only with the same threads.

    Raises:
        ValueError: a value is not allowed; the message names it.
    """

    replay: ReplayOptions = field(default_factory=ReplayOptions)
    parameters: NodeParameters = DEFAULTS
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
        outcomes: how each task ended.
        faults: what came to nothing.
    """

    scores: dict[str, ModelScores]
    comparisons: tuple[Comparison, ...]
    results: tuple[BagResult, ...]
    outcomes: tuple[TaskOutcome, ...]
    faults: tuple[RunFault, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every bag was read to its end by every model."""
        return all(outcome.error is None for outcome in self.outcomes) and all(
            result.error is None for result in self.results
        )


def evaluate_bags(
    bags: Sequence[Path],
    bundles: Sequence[str],
    options: EvaluationOptions,
    jobs: JobOptions,
    out: Path,
    baseline: Path | None = None,
    play_online: OnlinePlayer | None = None,
    force: bool = False,
) -> Evaluation:
    """Replay each bag through each model and leave the results in ``out`` (results/folder.py).

    Bags that give nothing are told of in the result; the others are scored.

    Args:
        bundles: shipped names or folders.
        baseline: ``metrics.json`` of an earlier run to compare with.
        play_online: None: bags are not replayed online.
        force: write into ``out`` though it holds other things.

    Raises:
        ValueError: a model, the device, the engine or the baseline cannot be used, a bag is named
            twice, or none gave anything.
    """
    _check_named_once(bags)
    resolve_device(options.device)
    folder = EvaluationFolder(out)
    models = dict(zip(unique_names(bundles), bundles, strict=True))
    infos = {name: read_info(bundle_folder(bundle)) for name, bundle in models.items()}
    tasks, unreadable = _tasks(bags, models, options, folder, play_online is not None)
    if not tasks:
        raise ValueError(_all_problems(unreadable))
    if baseline is not None:
        classes = {name: [c.name for c in info.classes] for name, info in infos.items()}
        topics = {task.bag: task.topics for task in tasks}
        check_baseline(baseline, classes, topics, options.replay, folder)
    inputs = [*bags, *(path for b in bundles if (path := Path(b)).is_dir())]
    claim_folder(out, inputs, force, EARLIER_EVALUATION)
    _clear(folder, keep_tasks=jobs.resume)
    outcomes = [*unreadable, *_finish(tasks, jobs, folder, play_online)]
    if all(outcome.error is not None for outcome in outcomes):
        raise ValueError(_all_problems(outcomes))
    results = [BagResult.read(o.task.results) for o in outcomes if o.error is None]
    failures = [Failure(o.task.bag, o.task.model, o.error) for o in outcomes if o.error is not None]
    paths = {outcome.task.bag: outcome.task.path for outcome in outcomes}
    configuration = Configuration(
        options=dataclasses.asdict(options) | {"bags": paths, "models": models},
        execution=dataclasses.asdict(jobs),
        bundles=models,
        seed=options.replay.seed,
        baseline=baseline,
    )
    are_points_asked_for = options.replay.points_topic is not None
    faults = tuple(f for result in results for f in find_faults(result, are_points_asked_for))
    scores, comparisons = write_summary(folder, configuration, results, failures, faults)
    if play_online is not None:
        gather_online(folder, results)
    return Evaluation(scores, comparisons, tuple(results), tuple(outcomes), faults)


def _check_named_once(bags: Sequence[str | Path]) -> None:
    """Refuse a bag that would count twice.

    Raises:
        ValueError: there is one.
    """
    places = [Path(bag).resolve() for bag in bags]
    for place, bag in zip(places, bags, strict=True):
        if places.count(place) > 1:
            raise ValueError(f"bag {str(bag)!r} is named {places.count(place)} times; name it once")


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """A name for each path: its last part, numbered where it occurs again."""
    names: list[str] = []
    for path in paths:
        name = Path(path).name
        if name in ("", ".."):
            name = Path(path).resolve().name or "bag"
        for suffix in (".mcap", ".db3", ".bag"):
            name = name.removesuffix(suffix)
        count = sum(n == name or n.startswith(f"{name}~") for n in names)
        names.append(f"{name}~{count + 1}" if count else name)
    return names


def _clear(folder: EvaluationFolder, keep_tasks: bool) -> None:
    """Remove the results of an earlier run."""
    for path in (folder.metrics, folder.frames, folder.timings, folder.online):
        path.unlink(missing_ok=True)
    if not keep_tasks:
        for task in folder.tasks.glob("*/*/"):
            with suppress(OutputError):  # what is not ours stays
                remove_folder(task, EARLIER_TASK)


def _all_problems(outcomes: Sequence[TaskOutcome]) -> str:
    """Why nothing came of any bag, one line."""
    return "; ".join(dict.fromkeys(f"{o.task.bag}: {o.error}" for o in outcomes))


def _parameter_files(parameters: NodeParameters) -> list[str]:
    """Digests of the files that parameters name.

    Raises:
        ValueError: one cannot be read.
    """
    named = [(name, getattr(parameters, name)) for name in ("cost_rules", "memory_bank")]
    named += [("masks", mask) for mask in parameters.masks if is_mask_file(mask)]
    digests = []
    for name, path in named:
        try:
            digests += [file_digest(Path(path))] if path else []
        except OSError as error:
            raise ValueError(
                f"parameter {name} names the file {path}, which cannot be read: {error.strerror}"
            ) from error
    return digests


def _tasks(
    bags: Sequence[Path],
    models: dict[str, str],
    options: EvaluationOptions,
    folder: EvaluationFolder,
    online: bool,
) -> tuple[list[BagTask], list[TaskOutcome]]:
    """A task for each bag and model, and those whose bag cannot even be opened."""
    tasks, unreadable = [], []
    digests = _parameter_files(options.parameters)
    settings = dataclasses.asdict(options) | {"online": online, "files": digests}
    for bag, path in zip(unique_names(bags), bags, strict=True):
        error = None
        frames, key, names = 0, "", {}
        try:
            with BagReader(path) as reader:
                cameras = find_cameras(
                    reader.topics, options.parameters.cameras, options.replay.topics
                )
                names = topic_names(cameras)
                frames = sum(topics.image.count for topics in cameras.values())
        except BagError as problem:
            error = str(problem)
        for model, bundle in models.items():
            if error is None:
                key = task_key(path, bundle_folder(bundle), settings)
            task = BagTask(
                bag=bag,
                model=model,
                path=str(path.resolve()),
                bundle=str(Path(bundle).resolve()) if Path(bundle).is_dir() else bundle,
                device=options.device,
                threads=options.threads,
                options=options.replay,
                parameters=options.parameters,
                folder=str(folder.task(bag, model).path.resolve()),
                frames=frames,
                topics=names,
                online="",
                key=key,
            )
            if error is None:
                tasks.append(task)
            else:
                unreadable.append(TaskOutcome(task, error))
    return tasks, unreadable


def _finish(
    tasks: Sequence[BagTask],
    jobs: JobOptions,
    folder: EvaluationFolder,
    play_online: OnlinePlayer | None,
) -> list[TaskOutcome]:
    """Work on the tasks that no earlier run has finished; outcomes in the order of the tasks."""
    finished = [task for task in tasks if jobs.resume and task.is_finished]
    if finished:
        print(f"{len(finished)} of {len(tasks)} bags and models were finished before")
    outcomes = [TaskOutcome(task) for task in finished]
    remaining = [task for task in tasks if task not in finished]
    if play_online is not None:
        played = [_play(task, play_online, folder) for task in remaining]
        outcomes += [outcome for outcome in played if outcome.error is not None]
        remaining = [outcome.task for outcome in played if outcome.error is None]
    outcomes += _run_tasks(remaining, jobs)
    order = {(task.bag, task.model): i for i, task in enumerate(tasks)}
    return sorted(outcomes, key=lambda outcome: order[outcome.task.bag, outcome.task.model])


def _play(task: BagTask, play_online: OnlinePlayer, folder: EvaluationFolder) -> TaskOutcome:
    """Play a task's bag to the real node; the task then knows the recording."""
    recording = folder.recording(task.bag, task.model)
    try:
        renew_folder(recording.path, EARLIER_RECORDING)
        play_online(task, recording)
    except (OSError, ValueError) as error:
        return TaskOutcome(task, one_line(error))
    return TaskOutcome(dataclasses.replace(task, online=str(recording.path.resolve())))


def _run_tasks(tasks: Sequence[BagTask], jobs: JobOptions) -> Iterator[TaskOutcome]:
    total = sum(task.frames for task in tasks)
    with tqdm(total=total, desc="evaluating", unit="frame", disable=not tasks) as progress:
        if jobs.engine == "local" and jobs.jobs == 1:
            yield from run_here(tasks, progress.update)
            return
        if jobs.engine == "ray":
            outcomes = run_on_ray(tasks, jobs.jobs, jobs.address)
        else:
            outcomes = run_in_processes(tasks, jobs.jobs)
        for outcome in outcomes:
            progress.update(outcome.task.frames)
            yield outcome
