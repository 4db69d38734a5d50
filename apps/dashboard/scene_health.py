"""What is wrong in the scene: a default branch with a conflict in it, an endpoint that fell silent; and one healing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from apps.dashboard import scene_files as files
from apps.endpoints import actions as endpoints
from apps.endpoints import reports, restarting
from apps.endpoints.models import Endpoint, Restart
from apps.endpoints.ollama import Looked, Seen
from apps.insight import checkups
from apps.ops import healing, healing_rest, jobs
from apps.ops.assessment import Category
from apps.ops.models import Healing, Remedy
from apps.repos import actions as repos

if TYPE_CHECKING:
    from apps.dashboard.scene import Scene


def registry(scene: Scene) -> None:
    """Two machines with an Ollama and no agent: the hub thinks with the first one."""
    for key, url, model in (("gpu-box", files.GPU_BOX, files.THINKER), ("attic", files.ATTIC, "qwen3:4b")):
        made = endpoints.add(url, by=scene.operator.get_username(), name=key)
        seen = Seen(model, "a3de86cd1c13", 40_960, ("completion", "tools"), warm=key == "gpu-box")
        reports.looked(made, Looked("0.33.0", (model,), (seen,)))
        scene.ids[key] = made.pk


def troubles(scene: Scene, where: Path) -> None:
    """What can go wrong, and what the hub does about it."""
    _broken_branch(scene, where)
    attic = _silent_endpoint(scene)
    # The look at the address that healing begins with would leave this machine.
    Remedy.objects.create(
        category=Category.ENDPOINTS.value,
        subject=f"endpoint/{attic.pk}",
        about=attic.pk,
        action=healing_rest.LOOK,
        outcome=Healing.FAILED,
        detail="attic still does not answer.",
        before={"name": "attic", "health": "down"},
        after={"health": "down"},
        round=1,
    )
    healing.heal()
    asked = Restart.objects.get(endpoint=attic)
    restarting.take(asked.pk, by="exit-status-zero")
    restarting.answered(asked.pk, by="exit-status-zero", ok=False, message=files.NO_RESTART, seconds=4.2)


def _broken_branch(scene: Scene, where: Path) -> None:
    from apps.dashboard.scene import git, write

    source = Path(tempfile.mkdtemp(dir=where))
    git(source, "init", "-q", "-b", "main")
    write(source, files.CONFLICT)
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "Merge branch 'a6'")
    repo = repos.register(str(source), by=scene.operator.get_username(), slug="labels")
    if found := checkups.begin(repo):
        jobs.checkup_ended(found.pk)


def _silent_endpoint(scene: Scene) -> Endpoint:
    attic = Endpoint.objects.get(pk=scene.ids["attic"])
    for _ in range(2):
        reports.looked(attic, None, "nothing came within 5 s")
    jobs.endpoint_changed(attic.pk)
    attic.refresh_from_db()
    return attic
