"""Processes that call a model and are killed on the way: `python -m tests.apps.ledger.crash DEED LOG`.

LOG is what the provider keeps for itself. `crash` makes a call for each gap and is killed in it; `recover` does what a
hub does when it is there again, and prints what the books say; `contend` has threads share one small budget.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

import django

GAPS = ("before the send", "after the send", "after the response", "within the settling", "after the settling", "never")
THREADS, CALLS, LIMIT = 6, 20, 1_000_000


def main(deed: str, log: Path) -> None:
    django.setup()
    if deed == "recover":
        recover(log)
    elif deed == "contend":
        contend()
    else:
        print(json.dumps([killed_in(gap, log) for gap in GAPS]))  # noqa: T201  this is what the test reads


def killed_in(gap: str, log: Path) -> int:
    """The exit status of a process that makes one call; minus the signal that ended it."""
    child = os.fork()  # there is no connection yet that both would use
    if child == 0:
        call(gap, log)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def call(gap: str, log: Path) -> None:
    """One call, by the book, until the gap."""
    from django.db import transaction

    from apps.ledger import actions
    from tests.apps.ledger import till

    def die_if(here: str) -> None:
        if gap == here:
            os.kill(os.getpid(), signal.SIGKILL)

    charge = till.reserved(gap)
    die_if("before the send")
    log.write_text(log.read_text() + json.dumps({"call": gap, "input": 1_000, "output": 500}) + "\n")
    die_if("after the send")
    die_if("after the response")
    with transaction.atomic():
        actions.settle(charge.call_id, till.USAGE)
        die_if("within the settling")
    die_if("after the settling")


def recover(log: Path) -> None:
    """Reap, and then believe the provider's log; each step twice, as after another crash."""
    from apps.ledger import actions, jobs
    from apps.ledger.models import Charge
    from apps.ledger.pricing import Usage
    from tests.apps.ledger import till

    safe = till.spent() + till.held()
    for _ in range(2):
        jobs.reap(till.NOW + timedelta(days=1))
    pessimistic = till.spent()
    told = {line["call"]: line for line in map(json.loads, log.read_text().splitlines())}
    for _ in range(2):
        for call_id in Charge.objects.values_list("call_id", flat=True):
            if line := told.get(call_id):
                actions.settle(call_id, Usage(input=line["input"], output=line["output"]))
            else:
                actions.void(call_id)
    found = {
        "before": safe.micro,
        "reaped": pessimistic.micro,
        "spent": till.spent().micro,
        "held": till.held().micro,
        "calls": till.spent().calls,
        "faults": till.faults(),
    }
    print(json.dumps(found))  # noqa: T201  this is what the test reads


def contend() -> None:
    """On SQLite writers wait for each other; the budget holds all the same."""
    from django.db import connection

    from apps.ledger import actions
    from apps.ledger.accounts import Exhausted
    from tests.apps.ledger import till

    till.allow(micro=LIMIT)
    ended: list[str] = []

    def work(thread: int) -> None:
        for number in range(CALLS):
            try:
                charge = till.reserved(f"{thread}-{number}")
            except Exhausted:
                ended.append("refused")
                continue
            actions.settle(charge.call_id, till.USAGE)
            ended.append("settled")
        connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {name: ended.count(name) for name in ("settled", "refused")}
    print(json.dumps({**found, "spent": till.spent().micro, "faults": till.faults()}))  # noqa: T201  the same


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
