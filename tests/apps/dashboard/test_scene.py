"""Every page over a hub where everything happened that can: one seeding, many looks."""

import pytest
from django.test import Client

from apps.dashboard.scene import Scene, busy_hub
from apps.forge.models import PullRequest
from apps.tasks.models import Task


@pytest.fixture
def scene(db, tmp_path) -> Scene:
    return busy_hub(tmp_path)


@pytest.fixture
def page(scene: Scene) -> Client:
    client = Client()
    client.force_login(scene.operator)
    return client


def test_every_state_has_a_page_that_says_so(scene, page):
    for key, says in {
        "rounding": "completed",
        "dead": "dead letter",
        "stranded": "One of them will not be completed by itself",
        "running": "bench: 40.3 ms -&gt; 19.8 ms per start",
        "weights": "pull request !",
        "Print labels in A6": "No connected agent fits",
    }.items():
        html = page.get(f"/tasks/{scene.ids[key]}").content.decode()

        assert says in html, key


def test_the_overview_shows_what_needs_a_person_and_what_runs(scene, page):
    html = page.get("/").content.decode()

    for says in (
        "Refuse negative and absurd weights",
        "stranded",
        "Read week dates like 2026-W07-3",
        "mypy: 14 errors left in 3 files",
        "borrowed-certainty: sandbox switched off.",
        "5 of 6 online",
    ):
        assert says in html, says


def test_a_pull_request_shows_its_diff_its_proof_and_who_gave_it(scene, page):
    pull = PullRequest.objects.get(pk=scene.ids["pull"])
    html = page.get(f"/pulls/{pull.pk}").content.decode()

    assert "class NotAWeight(ValueError):" in html
    assert 'data-n="9"' in html
    assert "who did not write it" in html
    assert "31.5 kg is right for all three carriers." in html
    assert "Merge into main</button>" in html
    assert " disabled aria-describedby" not in html


def test_merging_from_the_page_moves_the_branch_and_says_who_did_it(scene, page):
    pull = PullRequest.objects.get(pk=scene.ids["pull"])

    response = page.post(f"/pulls/{pull.pk}/merge", {"method": "squash", "head": pull.head}, follow=True)

    pull.refresh_from_db()
    assert "merged" == pull.status
    assert "Merged by ada" in response.content.decode()


def test_what_cannot_be_merged_says_why_beside_the_button(scene, page):
    first, second = (PullRequest.objects.get(pk=scene.ids[key]) for key in ("pull", "waiting"))
    page.post(f"/pulls/{first.pk}/merge", {"method": "merge", "head": first.head})

    html = page.get(f"/pulls/{second.pk}").content.decode()
    response = page.post(f"/pulls/{second.pk}/merge", {"method": "merge", "head": second.head})

    assert "disabled" in html[html.index('id="merge"') : html.index('id="against"')]
    assert 409 == response.status_code
    assert 'class="refusal"' in response.content.decode()


def test_a_request_for_changes_needs_words_and_becomes_work(scene, page):
    pull = PullRequest.objects.get(pk=scene.ids["waiting"])
    url = f"/pulls/{pull.pk}/request-changes"

    wordless = page.post(url, {"body": " ", "head": pull.head})
    page.post(url, {"body": "Keep Austria in zone 2.", "head": pull.head})

    assert 400 == wordless.status_code
    assert "Write what should change" in wordless.content.decode()
    assert "Keep Austria in zone 2." == Task.objects.filter(branch=pull.branch).get().remarks[0]["body"]


def test_the_dead_letter_shows_the_evidence_and_lets_it_go_again(scene, page):
    html = page.get("/dead").content.decode()
    page.post(f"/tasks/{scene.ids['dead']}/retry")

    assert "test_week_53_belongs_to_the_old_year" in html
    assert "queued" == Task.objects.get(pk=scene.ids["dead"]).status


def test_an_operator_frees_a_stranded_task(scene, page):
    page.post(f"/tasks/{scene.ids['stranded']}/drop", {"prerequisite": scene.ids["dead"]})

    assert "queued" == Task.objects.get(pk=scene.ids["stranded"]).status


def test_nobody_judges_work_that_came_in_after_they_looked(scene, page):
    pull = PullRequest.objects.get(pk=scene.ids["waiting"])
    for verb in ("approve", "request-changes", "merge"):
        response = page.post(f"/pulls/{pull.pk}/{verb}", {"body": "Fine.", "head": "0" * 40})

        assert 409 == response.status_code
        assert "New work was pushed since you opened this page" in response.content.decode()
    assert not pull.comments.exists()
