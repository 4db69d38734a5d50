"""The history of a task, whatever its events carry."""

import pytest

from apps.tasks import attempts
from tests import cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_task_that_failed_has_a_page_with_its_error(page, max_attempts):
    cast.agent()
    task = cast.queued_task(max_attempts=max_attempts)
    attempts.fail(cast.fence(cast.working(task)), "command_failed", "It <broke>.")
    response = page.get(f"/tasks/{task.pk}")

    assert 200 == response.status_code
    assert "It &lt;broke&gt;." in response.content.decode()
