"""Pages that change by themselves, as a person sees them."""

import re

import pytest
from playwright.sync_api import expect

from tests.hub import Hub

CHECK = {"type": "command_succeeds", "target": "true"}


def watching(page) -> None:
    """Wait until the hub listens for this page."""
    page.wait_for_selector("#page[data-seen]")


def test_the_overview_changes_by_itself_when_a_task_comes_in(hub: Hub, page):
    page.goto(hub.url)
    watching(page)
    urgent = page.locator(".lanes a", has_text="urgent").locator("strong")
    expect(urgent).to_have_text("0")

    task = hub.submit(title="Water the plants", priority="urgent")

    expect(urgent).to_have_text("1")
    hub.post(f"/api/tasks/{task}/cancel")
    expect(page.locator("#finished")).to_contain_text("Water the plants")
    expect(urgent).to_have_text("0")
    assert [] == page.wrong


def test_a_task_is_cancelled_by_its_button_and_its_page_follows(hub: Hub, page):
    task = hub.submit(title="Never mind")
    page.goto(f"{hub.url}/tasks/{task}")
    page.get_by_role("button", name="Cancel the task").click()

    expect(page.locator("h1 + .facts .pill")).to_have_text("cancelled")
    expect(page.locator("#history")).to_contain_text("Somebody cancelled the task.")
    assert f"{hub.url}/tasks/{task}" == page.url
    assert [] == page.wrong


def test_what_a_person_has_open_or_typed_survives_a_live_change(hub: Hub, page):
    hub.agents("ada", "bob")
    page.goto(f"{hub.url}/agents")
    watching(page)
    page.get_by_label("Name").fill("half a na")
    page.get_by_label("Name").blur()

    hub.post("/api/agents/ada/pause")

    expect(page.locator("#list")).to_contain_text("paused")
    expect(page.get_by_label("Name")).to_have_value("half a na")
    hub.post("/api/agents/ada/resume")
    expect(page.locator("#list")).not_to_contain_text("paused")


def test_a_restart_is_asked_for_only_when_the_person_confirms_and_is_taken_back(hub: Hub, page):
    hub.agents("dora")
    page.goto(f"{hub.url}/agents")
    watching(page)
    row = page.locator("#list li", has_text="dora")
    asked = []

    def think_again(dialog):
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", think_again)
    row.get_by_role("button", name="Restart").click()
    page.once("dialog", lambda dialog: dialog.accept())
    before = hub.get("/api/agents/dora")["restart"]
    row.get_by_role("button", name="Restart").click()

    expect(row).to_contain_text("tester wants a restart, just now. It is told as soon as it is connected.")
    row.get_by_role("button", name="Do not restart").click()
    expect(row).not_to_contain_text("wants a restart")
    assert before is None
    assert ["Restart the sidecar of dora? It gets no new work until a new process has come."] == asked
    assert [] == page.wrong


def test_an_enrolment_code_stays_while_the_page_changes(hub: Hub, page):
    page.goto(f"{hub.url}/agents")
    page.get_by_role("button", name="Make an enrolment code").click()
    command = page.locator("#join-command")
    expect(command).to_have_text(re.compile(rf"agentcom-sidecar join {re.escape(hub.url)} --code [0-9A-Z-]+$"))
    shown = command.text_content()

    hub.agents("carol")
    hub.post("/api/agents/carol/pause")

    expect(page.locator("#list")).to_contain_text("carol")
    expect(command).to_have_text(shown)


def test_a_refusal_stands_beside_the_button(hub: Hub, page):
    page.goto(f"{hub.url}/agents")
    page.get_by_label("Name").fill("Not A Name")
    page.get_by_role("button", name="Make an enrolment code").click()

    expect(page.locator("#add .refusal")).to_contain_text("Lower-case letters")


def test_a_page_says_when_the_hub_is_away_and_catches_up_when_it_is_back(hub: Hub, page):
    task = hub.submit(title="Outlast the restart")
    page.goto(f"{hub.url}/tasks/{task}")
    watching(page)

    hub.kill()
    expect(page.locator("#away")).to_be_visible()
    hub.shell(
        "from apps.tasks.models import Task; from apps.tasks.actions import cancel;"
        f"cancel(Task.objects.get(pk={task}), by='the shell'); print('done')"
    )
    hub.start()

    expect(page.locator("h1 + .facts .pill")).to_have_text("cancelled", timeout=30_000)
    expect(page.locator("#away")).to_be_hidden()


def test_the_admin_lives_under_the_same_policy(hub: Hub, page):
    task = hub.submit(title="Seen from behind")
    for path in ("admin/", "admin/agents/agent/", f"admin/tasks/task/{task}/change/"):
        page.goto(f"{hub.url}/{path}")

    assert [] == page.wrong


@pytest.mark.parametrize("path", ["", "tasks", "tasks/new", "pulls", "dead", "agents", "spending", "repos"])
def test_pages_fit_a_phone_and_break_no_policy(hub: Hub, page, path):
    hub.submit(
        title="A title that is rather long and holds averyveryverylongwordwithoutanyspacesinitatallwhichwouldoverflow"
    )
    page.goto(f"{hub.url}/{path}")

    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert [] == page.wrong
