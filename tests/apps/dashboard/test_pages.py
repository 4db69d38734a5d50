"""Who sees pages, what they do with strange content, and what they cost."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.agents import operators
from apps.agents.models import EnrolmentCode
from apps.dashboard import counting, tasks
from apps.dashboard.paging import page_of
from apps.dashboard.urls import PAGES
from apps.tasks import actions, attempts
from apps.tasks.models import Task
from tests import cast

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


def address(name: str) -> str:
    route = PAGES[name][0]
    return "/" + route.replace("<id:pk>", "1").replace("<slug:verb>", "cancel")


@pytest.mark.parametrize("name", PAGES)
def test_strangers_are_sent_to_the_login_page(name):
    for method in (Client().get, Client().post):
        response = method(address(name))

        assert (302, "/login") == (response.status_code, response["Location"].split("?")[0])


@pytest.mark.parametrize("name", PAGES)
def test_an_account_that_is_not_staff_sees_nothing(name):
    client = Client()
    client.force_login(User.objects.create_user("visitor"))

    assert 403 == client.get(address(name)).status_code
    assert 403 == client.post(address(name)).status_code


@pytest.mark.parametrize("name", ["overview", "tasks", "task_new", "dead", "pulls", "agents", "repos"])
def test_an_empty_hub_has_pages_that_say_what_to_do(page, name):
    response = page.get(address(name))

    assert 200 == response.status_code
    assert 'id="page"' in response.content.decode()


def test_a_form_that_was_not_ours_changes_nothing(operator):
    task = cast.queued_task()
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)

    assert 403 == client.post(f"/tasks/{task.pk}/cancel").status_code
    assert "queued" == cast.status_of(task)


def test_every_answer_forbids_inline_script_and_frames(page):
    for path in ("/", "/login", "/admin/", "/nowhere"):
        policy = page.get(path)["Content-Security-Policy"]

        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_pages_hold_no_inline_script_style_or_handler(page):
    cast.agent()
    task = cast.queued_task()
    for path in ("/", "/tasks", f"/tasks/{task.pk}", "/tasks/new", "/agents", "/repos", "/login"):
        html = page.get(path).content.decode()

        assert "<script>" not in html
        assert "<style" not in html
        assert " style=" not in html
        assert " onclick=" not in html


def test_what_others_wrote_is_shown_and_never_run(page):
    cast.agent()
    task = cast.queued_task(
        EVIL, description=EVIL, command=EVIL, checks=[{**cast.CHECK, "target": EVIL}], max_attempts=1
    )
    attempt = cast.working(task)
    attempts.progress(cast.fence(attempt), 1, [{"at_ms": 1, "kind": "output", "text": EVIL}])
    overview = page.get("/").content.decode()
    report = cast.report(task.checks, "fail")
    report["checks"][0]["output"] = EVIL
    attempts.fail(cast.fence(attempt), "failed", EVIL, {"output": EVIL, "summary": EVIL}, [report])

    for html in (
        overview,
        *(page.get(path).content.decode() for path in ("/", "/dead", "/tasks", f"/tasks/{task.pk}")),
    ):
        assert EVIL not in html
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_a_new_hub_shows_the_steps_to_the_first_goal_until_work_was_handed_in(page):
    new = page.get("/").content.decode()
    cast.repo("ledger")
    cast.agent()
    without_work = page.get("/").content.decode()
    cast.queued_task()
    at_work = page.get("/").content.decode()

    assert "Give the hub a model" in new
    assert "Add a machine</a>" in new
    assert "Add a machine</a>" not in without_work
    assert "Hand in a goal" in without_work
    assert 'id="first-run"' not in at_work


def test_the_overview_costs_the_same_with_many_tasks(page, django_assert_max_num_queries):
    cast.repo("ledger")
    for _ in range(5):
        cast.agent()
    queued = [cast.queued_task() for _ in range(50)]
    for _ in range(5):
        running = cast.working(queued.pop(0))
        attempts.progress(cast.fence(running), 1, [{"at_ms": 1, "kind": "output", "text": f"step of {running.pk}"}])
    for task in queued[:20]:
        actions.cancel(task, by="grace")

    with django_assert_max_num_queries(26):
        html = page.get("/").content.decode()

    assert f"step of {running.pk}" in html


def test_a_count_beyond_the_cap_says_at_least(page, monkeypatch):
    for _ in range(4):
        cast.queued_task()
    monkeypatch.setattr(counting, "CAP", 3)

    assert "4+" in page.get("/").content.decode()


def test_a_task_handed_in_by_the_form_is_as_it_was_typed(page):
    cast.repo("ledger")
    form = {
        "title": "Fix the totals", "description": "", "command": "make fix\r\nmake more", "repo": "ledger", "lane": "1",
        "target": "", "max_attempts": "2", "max_fixes": "1", "timeout_seconds": "60", "checks-TOTAL_FORMS": "2",
        "checks-INITIAL_FORMS": "0", "checks-0-type": "command_succeeds", "checks-0-target": "make test",
        "checks-1-type": "", "checks-1-target": "",
    }  # fmt: skip

    response = page.post("/tasks/new", form)

    task = Task.objects.get()
    assert reverse("task", args=[task.pk]) == response["Location"]
    assert task.repo is not None
    assert ("make fix\nmake more", 1, "ledger") == (task.command, task.lane, task.repo.slug)
    assert [("command_succeeds", "make test")] == [(check["type"], check["target"]) for check in task.checks]
    assert "grace" == task.submitted_by


@pytest.mark.parametrize(
    "wrong",
    [{"title": ""}, {"title": "x" * 201}, {"lane": "9"}, {"title": "a\0b"}, {"max_attempts": "0"}, {"repo": "none"}],
)
def test_a_form_that_cannot_be_used_is_shown_again_with_the_reason(page, wrong):
    form = {
        "title": "Fix", "lane": "2", "max_attempts": "3", "max_fixes": "0", "timeout_seconds": "600",
        "checks-TOTAL_FORMS": "0", "checks-INITIAL_FORMS": "0",
    }  # fmt: skip

    response = page.post("/tasks/new", form | wrong)

    assert 400 == response.status_code
    assert 'class="errors"' in response.content.decode()
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    "path",
    ["/tasks/" + "9" * 19, "/tasks/" + "9" * 18, "/pulls/999999", "/tasks/1/explode", "/nowhere", "/tasks/-1"],
)
def test_what_does_not_exist_is_a_page_that_says_so(page, path):
    response = page.get(path) if "explode" not in path else page.post(path)

    assert 404 == response.status_code
    assert "There is nothing here" in response.content.decode()


@pytest.mark.parametrize(
    "query",
    ["?before=abc", "?before=99999999999999999999", "?status=nonsense", "?lane=x", "?q=%00", "?q=" + "x" * 500, "?q=7"],
)
def test_a_filter_that_makes_no_sense_breaks_nothing(page, query):
    cast.queued_task()

    assert 200 == page.get(f"/tasks{query}").status_code


def test_the_list_goes_on_where_the_page_ended(page, monkeypatch):
    monkeypatch.setattr(tasks, "page_of", lambda rows, request: page_of(rows, request, 2))
    made = [cast.queued_task() for _ in range(3)]

    first = page.get("/tasks?status=queued").content.decode()
    second = page.get(f"/tasks?status=queued&before={made[1].pk}").content.decode()

    assert f"before={made[1].pk}" in first
    assert f'id="task-{made[0].pk}"' in second
    assert f'id="task-{made[2].pk}"' not in second


def test_a_refused_button_says_why(page):
    task = cast.queued_task()
    page.post(f"/tasks/{task.pk}/cancel")

    response = page.post(f"/tasks/{task.pk}/cancel")

    assert 409 == response.status_code
    assert "The task is cancelled already." in response.content.decode()


def test_an_enrolment_code_is_shown_once(page):
    made = page.post("/agents/code", {"name": "gcu-shy"}).content.decode()
    again = page.get("/agents").content.decode()

    assert "agentcom-sidecar join http://testserver --code " in made
    assert "--name gcu-shy" in made
    assert "--code" not in again
    assert 1 == EnrolmentCode.objects.count()


def test_a_name_that_cannot_be_used_is_refused_beside_the_form(page):
    response = page.post("/agents/code", {"name": "Not A Name"})

    assert 400 == response.status_code
    assert 'class="refusal"' in response.content.decode()


def test_the_page_of_a_task_gives_the_reason_that_rest_gives_and_says_once_why_it_is_blocked(page):
    alone = cast.queued_task()
    behind = cast.queued_task(depends_on=[alone.pk])
    paused = cast.queued_task(repo=cast.repo("shop", paused=True))

    def shown(task):
        found = re.search(r'id="waits"><span>(.*?)</span>', page.get(f"/tasks/{task.pk}").content.decode())
        return found and found[1]

    reasons = [shown(task) for task in (alone, behind, paused)]
    cast.agent("ada")
    attempts.block(cast.fence(cast.working(alone)), "waits for a licence")
    blocked = page.get(f"/tasks/{alone.pk}").content.decode()

    waits = f"Waits for #{alone.pk} (queued)."
    assert ["No agent is connected.", waits, "The repository shop is paused."] == reasons
    assert shown(alone) is None
    assert "Blocked: waits for a licence" in blocked


def test_pausing_an_agent_and_back(page):
    ada = cast.agent("ada")
    page.post(f"/agents/{ada.pk}/pause")
    paused = cast.fresh(ada).paused
    page.post(f"/agents/{ada.pk}/resume")

    assert (True, False) == (paused, cast.fresh(ada).paused)


def test_retiring_an_agent_takes_it_off_the_page(page):
    ada, bob = cast.agent("ada"), cast.agent("bob")
    refused = page.post(f"/agents/{ada.pk}/retire")
    for agent in (ada, bob):
        page.post(f"/agents/{agent.pk}/pause")
    page.post(f"/agents/{ada.pk}/retire")
    shown = page.get("/agents").content.decode()

    assert (409, True) == (refused.status_code, "Pause ada first" in refused.content.decode())
    assert (False, True) == (f'id="agent-{ada.pk}"' in shown, f'id="agent-{bob.pk}"' in shown)


def test_a_repository_is_added_and_a_bad_address_is_refused(page):
    bad = page.post("/repos", {"source": "ext::sh -c id", "slug": "evil"})
    good = page.post("/repos", {"source": "", "slug": "ledger"}, follow=True)

    assert 400 == bad.status_code
    assert 'class="refusal"' in bad.content.decode()
    assert "ledger" in good.content.decode()


def test_a_login_link_is_used_up_by_the_button_and_not_by_a_preview(operator):
    path = operators.login_link(operator, "")
    client = Client()
    for _ in range(2):
        assert 200 == client.get(path).status_code

    assert "/" == client.post(path)["Location"]
    assert 200 == client.get("/").status_code
    assert 410 == Client().post(path).status_code


def test_a_password_logs_in_and_guessing_is_stopped(operator):
    client = Client()
    wrong = [client.post("/login", {"username": "grace", "password": "no"}).status_code for _ in range(11)]
    other = client.post("/login", {"username": "grace", "password": "a long enough secret"}, REMOTE_ADDR="10.0.0.9")

    assert [200] * 10 + [429] == wrong
    assert 302 == other.status_code


def test_login_never_leads_to_another_site(operator):
    typed = {"username": "grace", "password": "a long enough secret", "next": "https://evil.example/"}

    assert "/" == Client().post("/login", typed, REMOTE_ADDR="10.0.0.8")["Location"]


def test_nothing_on_the_overview_is_counted_by_reading_a_whole_table(page):
    cast.agent()
    cast.working(cast.queued_task())
    with CaptureQueriesContext(connection) as asked:
        page.get("/")

    if connection.vendor != "sqlite":
        pytest.skip("the plan is read as SQLite writes it")
    for query in asked.captured_queries:
        if any(table in query["sql"] for table in ('FROM "tasks_', 'FROM "forge_')):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
                plan = [row[3] for row in cursor.fetchall()]

            assert not [
                step for step in plan if step.startswith(("SCAN tasks_", "SCAN forge_")) and "USING" not in step
            ], (
                query["sql"],
                plan,
            )
