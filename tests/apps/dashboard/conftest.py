from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings) -> Path:
    """Where mirrors lie; and passwords that cost no time."""
    settings.DATA_DIR = tmp_path / "data"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return tmp_path


@pytest.fixture
def operator(db) -> User:
    return User.objects.create_user("grace", password="a long enough secret", is_staff=True)


@pytest.fixture
def page(operator: User) -> Client:
    """A browser in which the operator is logged in."""
    client = Client()
    client.force_login(operator)
    return client
