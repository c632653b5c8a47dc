"""From a plan to the jobs of one night: what each source holds now, what has not changed, how long each will take."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from harness import host
from harness.build import revision
from harness.build.revision import Revision
from harness.errors import Pi64Error
from harness.lab import choices, kernels
from harness.lab.config import Lab
from harness.lab.options import TargetOptions
from harness.lab.plan import Plan, Wanted
from harness.nightly.night import inputs
from harness.nightly.night.past import Label, Past
from harness.nightly.night.schedule import Work
from harness.nightly.night.state import Job
from harness.report.redact import printable, without_credentials

RUN_S = 300.0
BUILD_S = 600.0
"""What a run and a build are taken to need where nobody knows."""
CACHED_S = 3.0
"""For a kernel that lies in the cache: `pi64 build` reads and compares every byte."""

Usual = Callable[[str, str, str], float | None]
"""Branch (as the history calls it), board and base configuration -> seconds of a run, if that is known."""


@attrs.frozen
class Task:
    """What is needed to do one job, besides what its state says."""

    wanted: Wanted
    words: tuple[str, ...] = ()
    """Which kernel: for pytest and `pi64 build` alike."""
    model: str = ""
    build: str = ""
    """What its kernel is made of, digested: tasks that share it share the build."""
    run_s: float = RUN_S
    build_s: float = BUILD_S
    urgent: bool = False
    """Whether it was left over the night before."""
    pinned: bool = False
    """Whether its commit can be asked for again."""

    @property
    def name(self) -> str:
        """What people call its kernel."""
        return f"{self.wanted.branch.name}/{self.wanted.configuration.name}"

    def work(self, number: int) -> Work:
        """Return it as the schedule sees it; *number* is the job's."""
        return Work(number, self.wanted.board, self.build, self.run_s, self.urgent)


@attrs.frozen
class Agenda:
    """All that there is to do."""

    jobs: tuple[Job, ...]
    tasks: tuple[Task, ...]
    """One for each job."""


@attrs.frozen
class Drafter:
    """Draws up an agenda; sources and compilers are looked at once each."""

    plan: Plan
    lab: Lab
    past: Past
    usual: Usual
    folder: Path
    """Where pytest runs."""
    again: bool = False
    """Whether what has not changed is run as well."""
    progress: host.Progress = host.silent
    _seen: dict[tuple[str, str | None], Revision | Pi64Error] = attrs.field(factory=dict, init=False)
    _compilers: dict[str, str] = attrs.field(factory=dict, init=False)
    _common: str = attrs.field(init=False)

    @_common.default
    def _of_all(self) -> str:
        return inputs.common(self.plan.pytest, self.folder)

    def draw_up(self, before: Mapping[Label, Job] | None = None) -> Agenda:
        """Return the agenda; *before* are the jobs of the night that is gone on with: their commits stand."""
        drawn = [self._job(wanted, (before or {}).get(wanted.label)) for wanted in self.plan.jobs()]
        return Agenda(tuple(job for job, _ in drawn), tuple(task for _, task in drawn))

    def _job(self, wanted: Wanted, before: Job | None) -> tuple[Job, Task]:
        last = self.past.last(wanted.label)
        told = last.run if last else ""
        job = before or Job(wanted.branch.name, wanted.board, wanted.configuration.name, told=told)
        try:
            seen = self._look(wanted, job.commit)
            options = self._options(wanted, seen)
            compiler = self._compiler(options)
            meant = kernels.purpose(
                options,
                features=self.lab.features[wanted.board],
                userland_bits=0 if options.image.file else kernels.OUR_USERLAND_BITS,
            )
            build = inputs.kernel(options, seen, compiler, meant)
            digest = inputs.job(options, build, self._common)
        except (Pi64Error, OSError) as error:
            if job.complete:
                return job, Task(wanted)
            said = error.message if isinstance(error, Pi64Error) else str(error)
            return attrs.evolve(job, state="broken", reason=printable(without_credentials(said))), Task(wanted)
        usual = self.usual(_history_name(wanted), wanted.board, options.kernel.config or "")
        if not job.complete:
            job = attrs.evolve(job, commit=seen.commit, inputs=digest, usual_s=usual, build=job.build or build)
        task = self._task(wanted, seen, options.model, job, build)
        return (job, task) if before else (self._unchanged(job, seen), task)

    def _look(self, wanted: Wanted, commit: str) -> Revision:
        """Return what the source holds: now, or when the night began, if *commit* is what it held then."""
        source, ref = wanted.branch.source, wanted.branch.ref
        if commit and revision.in_git(source, ref=ref):
            ref = commit
        if (source, ref) not in self._seen:
            self.progress(f"plan: looking at {wanted.branch.name}")
            try:
                self._seen[source, ref] = revision.look(source, ref=ref)
            except Pi64Error as error:
                self._seen[source, ref] = error
        found = self._seen[source, ref]
        if isinstance(found, Pi64Error):
            raise found
        return found

    def _options(self, wanted: Wanted, seen: Revision) -> TargetOptions:
        given, said = self.lab.target(wanted.board), wanted.configuration
        kernel = choices.kernel(
            given.kernel,
            source=wanted.branch.source,
            ref=seen.commit if seen.pinned else wanted.branch.ref,
            toolchain=said.toolchain,
            config=said.config,
            fragments=said.fragments,
            requires=said.requires,
        )
        return attrs.evolve(given, kernel=kernel)

    def _compiler(self, options: TargetOptions) -> str:
        spec = options.kernel.toolchain
        if spec not in self._compilers:
            self._compilers[spec] = inputs.compiler(options.kernel, choices.toolchains(self.lab.path))
        return self._compilers[spec]

    def _task(self, wanted: Wanted, seen: Revision, model: str, job: Job, build: str) -> Task:
        last = self.past.last(wanted.label)
        cached = last is not None and last.inputs == job.inputs and _stored(last.build)
        usual = self.past.build_s(wanted.branch.name, wanted.configuration.name)
        return Task(
            wanted,
            _words(wanted, seen),
            model,
            build,
            run_s=RUN_S if job.usual_s is None else job.usual_s,
            build_s=CACHED_S if cached else usual if usual is not None else BUILD_S,
            urgent=self.past.left(wanted.label),
            pinned=seen.pinned,
        )

    def _unchanged(self, job: Job, seen: Revision) -> Job:
        last = self.past.last((job.branch, job.configuration, job.board))
        if self.again or last is None or last.inputs != job.inputs:
            return job
        what = f"commit {seen.commit[:12]}" if seen.commit else seen.origin
        reason = f"{last.verdict} in {last.run}, with all inputs as now: {what}"
        return attrs.evolve(
            job, state="unchanged", reason=printable(without_credentials(reason)), run=last.run, verdict=last.verdict,
            build=last.build,
        )  # fmt: skip


def _words(wanted: Wanted, seen: Revision) -> tuple[str, ...]:
    """Return the options that name the kernel: an option and its value are one word, whatever it begins with."""
    branch, said = wanted.branch, wanted.configuration
    ref: Sequence[str] = (f"--ref={branch.ref}",) if branch.ref else ()
    if seen.pinned:
        ref = (f"--ref={seen.commit}", f"--branch={branch.ref or 'HEAD'}")
    given = {"toolchain": said.toolchain, "config": said.config}
    return (
        f"--source={branch.source}",
        *ref,
        *(f"--{name}={value}" for name, value in given.items() if value),
        *(f"--fragment={fragment}" for fragment in said.fragments),
        *(f"--requires={name}" for name in said.requires or ()),
    )


def _history_name(wanted: Wanted) -> str:
    return wanted.branch.ref or without_credentials(wanted.branch.source)


def _stored(key: str) -> bool:
    return bool(key) and (host.cache_dir("kernels") / key / "build.json").is_file()
