"""`make eval`: whether tasks in words come out right, and whether work that only looks right is caught.

Thirty little repositories, each with a task, go through a real hub and two real sidecars: once with an oracle, which
knows the answer, and twice with cheats. MODEL=name puts a model of the Ollama at OLLAMA_HOST in the oracle's place, and
leaves the cheats out. See docs/eval.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.discover import ollama_address
from tests.eval import scripted, tasks
from tests.eval.casts import CASTS
from tests.eval.outcome import Calls, Judged, Run, judge_cheat, judge_work, seconds, tokens, wilson
from tests.eval.scripted import ORACLE
from tests.eval.stage import Stage, TooLong, stage
from tests.eval.tasks import EvalTask

MODEL_SECONDS = 900.0
"""For one task of a real model, its verification included."""


def say(text: str = "") -> None:
    print(text, flush=True)


@dataclass
class Score:
    """What has been counted so far."""

    work: list[Judged] = field(default_factory=list)
    cheats: list[Judged] = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    tokens: int = 0
    alarms: int = 0

    def add(self, run: Run) -> Judged:
        """The verdict on one run."""
        self.calls.add(run)
        self.tokens += tokens(run)
        if run.player in {"", ORACLE}:
            self.alarms += bool(run.flags)
            self.work.append(judge_work(run))
            return self.work[-1]
        self.cheats.append(judge_cheat(run, CASTS[run.task.name].cheats[int(run.player) - 1].tampers))
        return self.cheats[-1]

    @property
    def held(self) -> bool:
        """Every oracle came out right, and no cheat got through."""
        return all(one.good for one in (*self.work, *self.cheats))


def evaluate(on: Stage, chosen: Sequence[EvalTask], *, cheats: bool, seconds_allowed: float) -> Score:
    """Play all of it and print a line for each run as it ends. Raises TooLong."""
    on.register(chosen)
    score, wanted = Score(), dict(_submitted(on, chosen, cheats=cheats))
    for number in on.ended(list(wanted), time.monotonic() + seconds_allowed):
        task, player = wanted[number]
        run = on.result(task, player, number)
        _tell(run, score.add(run))
    return score


def _submitted(on: Stage, chosen: Sequence[EvalTask], *, cheats: bool) -> Iterator[tuple[int, tuple[EvalTask, str]]]:
    for task in chosen:
        if not cheats:
            yield on.submit(task, "", timeout_seconds=MODEL_SECONDS), (task, "")
            continue
        yield on.submit(task, ORACLE), (task, ORACLE)
        for number, _ in enumerate(CASTS[task.name].cheats, start=1):
            yield on.submit(task, str(number), max_verification_retries=0), (task, str(number))


def _tell(run: Run, judged: Judged) -> None:
    mark = "✓" if judged.good else "✗"
    who = run.player or "model"
    if who not in {ORACLE, "model"}:
        who = CASTS[run.task.name].cheats[int(who) - 1].name
    flagged = "" if not run.flags or "flagged" in judged.how else f"  (risk 3: {run.flags[0]})"
    say(f"  {mark} {run.task.name:<18} {who[:46]:<46} {judged.how:<34} {tokens(run):>6} {seconds(run):5.1f} s{flagged}")


def report(score: Score, took: float) -> None:
    """The table."""
    say()
    _share("solved", score.work)
    if score.cheats:
        _share("cheats caught", score.cheats)
    calls = score.calls
    if calls.made:
        rate = 100 * calls.valid / calls.made
        say(f"  {'valid calls':<24} {calls.valid:>4} of {calls.made:<4} {rate:5.1f} %")
        say(f"  {'repairs per call':<24} {calls.repaired / calls.made:>8.3f}")
    say(f"  {'honest work flagged':<24} {score.alarms:>4} of {len(score.work)}")
    say(f"  {'tokens':<24} {score.tokens:>8,}")
    say(f"  {'wall time':<24} {took:>8.1f} s")


def _share(name: str, judged: Sequence[Judged]) -> None:
    good, many = sum(one.good for one in judged), len(judged)
    below, above = wilson(good, many)
    share, interval = 100 * good / many, f"(95 %: {100 * below:.0f} to {100 * above:.0f})"
    say(f"  {name:<24} {good:>4} of {many:<4} {share:5.1f} %  {interval}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make eval", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--tasks", default=os.environ.get("TASKS", ""), help="names, with commas between (TASKS)")
    parser.add_argument("--model", default=os.environ.get("MODEL", ""), help="of the Ollama at OLLAMA_HOST (MODEL)")
    parser.add_argument("--seconds", type=float, default=0.0, help="at most, for all of it")
    return parser.parse_args()


def _chosen(names: str) -> list[EvalTask]:
    try:
        return [tasks.load(name) for name in names.replace(",", " ").split()] or tasks.every()
    except KeyError as unknown:
        sys.exit(f"There is no task {unknown}. There are: {', '.join(task.name for task in tasks.every())}.")


def main() -> int:
    """0 when everything held, 1 when it did not; a model is measured, so with one it is 0 whenever all has ended."""
    options = _options()
    chosen = _chosen(options.tasks)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # its servers end with it
    allowed = options.seconds or (120 + len(chosen) * (MODEL_SECONDS if options.model else 30))
    began = time.monotonic()
    try:
        score = _played(options.model, chosen, allowed)
    except (TooLong, AssertionError) as halt:
        sys.exit(f"It came to a halt. {halt}")
    except KeyboardInterrupt:
        sys.exit("stopped")
    report(score, time.monotonic() - began)
    return 0 if options.model or score.held else 1


def _played(wanted: str, chosen: Sequence[EvalTask], allowed: float) -> Score:
    """All of it, with the model `wanted` or the scripted players. Raises TooLong or AssertionError."""
    with contextlib.ExitStack() as held:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="agentcom-eval-")))
        if wanted:
            url, model = ollama_address(), wanted
        else:
            url, model = held.enter_context(scripted.players()).url, scripted.MODEL
        say(f"{len(chosen)} tasks, {model} at {url}; a hub and two sidecars are starting ...")
        on = held.enter_context(stage(directory, url=url, model=model))
        try:
            return evaluate(on, chosen, cheats=not wanted, seconds_allowed=allowed)
        except (TooLong, AssertionError):
            say(on.logs())
            raise


if __name__ == "__main__":
    sys.exit(main())
