from __future__ import annotations

import secrets

import pytest

from apps.repos import findings
from apps.repos.diff import DiffFacts, FileChange, FilePatch, Hunk, Line, Patch
from apps.repos.findings import Finding, find, is_test, secret_in

# Put together here, so that no scanner takes this file for a leak.
RANDOM = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ2cF4hJ6kL8"


def patch_of(*, path="src/app.py", added=(), removed=(), status="M", old_path=None, truncated=False):
    lines = [Line("del", text, old=n) for n, text in enumerate(removed, 1)]
    lines += [Line("add", text, new=n) for n, text in enumerate(added, 1)]
    change = FileChange(path, status, old_path, added=len(added), deleted=len(removed))
    facts = DiffFacts("a" * 40, "b" * 40, (change,))
    return facts, Patch(facts, [FilePatch(change, [Hunk("", lines)], truncated)])


def codes(**given) -> list[str]:
    return [finding.code for finding in find(*patch_of(**given))]


@pytest.mark.parametrize(
    "line",
    [
        "token = ghp_" + RANDOM,
        "ghs_" + RANDOM,
        "github_pat_" + RANDOM + RANDOM,
        "sk-ant-" + "api03-" + RANDOM,
        "sk-proj-" + RANDOM,
        "glpat-" + RANDOM[:20],
        "act_agent_k3yk3y_" + RANDOM,
        "AKIA" + "ABCDEFGHIJ234567",
        "AIza" + RANDOM[:35],
        "xoxb-" + "1234567890-abc",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "url = 'postgres://ada:" + "hunter22@db/x'",
        f"API_KEY = '{RANDOM}'",
        f'"client_secret": "{RANDOM}"',
        f"password: {RANDOM[:16]}",
    ],
)
def test_a_secret_is_found_and_not_repeated(line):
    (finding,) = find(*patch_of(added=["x = 1", line]))

    assert ("secret", "src/app.py", 2) == (finding.code, finding.path, finding.line)
    assert RANDOM[:8] not in finding.sentence


@pytest.mark.parametrize(
    "line",
    [
        "token = get_token_from_environment()",
        "password = 'correct-horse-battery-staple'",
        "api_key = os.environ['ANTHROPIC_API_KEY']",
        "secret = settings.SECRET_KEY_FALLBACKS",
        "https://example.org:8080/path",
        "postgres://user:${PASSWORD}@db/x",
        "the token ghp_ is a prefix",
        "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "TOKEN_LIFETIME_SECONDS = 86400000000",
        "token: 'aaaaaaaa11111111'",
    ],
)
def test_ordinary_code_holds_no_secret(line):
    assert secret_in(line) is None


def test_random_keys_are_nearly_always_seen():
    seen = [secret_in(f"api_key = '{secrets.token_urlsafe(24)}'") for _ in range(200)]

    assert seen.count(None) <= 4


@pytest.mark.parametrize(
    ("path", "status", "hides"),
    [
        ("unittest.py", "A", True),
        ("json/__init__.py", "A", True),
        ("unittest.py", "M", False),
        ("src/unittest.py", "A", False),
        ("words.py", "A", False),
        ("json/data.txt", "A", False),
    ],
)
def test_a_new_module_in_the_place_of_pythons_own_is_found(path, status, hides):
    assert hides is (findings.RUNS_ELSEWHERE in codes(path=path, status=status))


def test_the_tests_of_the_base_are_those_that_were_there():
    changes = (
        FileChange("tests/test_new.py", "A"),
        FileChange("tests/test_kept.py", "M"),
        FileChange("tests/test_gone.py", "D"),
        FileChange("elsewhere.py", "R", "tests/test_moved.py"),
        FileChange("src/app.py", "M"),
    )

    before = findings.tests_before(DiffFacts("a" * 40, "b" * 40, changes))

    assert ["tests/test_kept.py", "tests/test_gone.py", "tests/test_moved.py"] == before


def test_a_secret_that_is_removed_is_no_finding():
    assert [] == codes(removed=["token = ghp_" + RANDOM])


@pytest.mark.parametrize(
    "character", ["\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\U000e0041", "\x1b", "\x00"]
)
def test_a_character_that_cannot_be_seen_is_found_in_lines_and_names(character):
    assert ["hidden_character"] == codes(added=[f"a = 1{character}"])
    assert ["hidden_character"] == codes(path=f"src/a{character}.py")


def test_ordinary_letters_of_any_language_are_not_hidden():
    assert [] == codes(added=["größe = 'été 日本 ✓ 🎉'\t", "x\r"])


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_a.py",
        "src/test_a.py",
        "a_test.go",
        "web/a.test.ts",
        "web/a.spec.js",
        "spec/a.rb",
        "x/__tests__/a.js",
        "conftest.py",
    ],
)
def test_tests_are_known_by_their_paths(path):
    assert is_test(path)


@pytest.mark.parametrize("path", ["src/app.py", "src/contest.py", "latest/x.py", "src/attestation.py", "testimony.md"])
def test_other_files_are_not_tests(path):
    assert not is_test(path)


@pytest.mark.parametrize(
    "line",
    [
        "@pytest.mark.skip", "@pytest.mark.xfail(strict=False)", "    pytest.skip('later')", "@unittest.skip('x')",
        "@expectedFailure", "it.skip('x', () => {", "xit('x', () => {", "describe.skip('x'", "#[ignore]", "t.Skip()",
        "@Disabled", "@tag :skip", "        self.skipTest('x')",
    ],
)  # fmt: skip
def test_a_test_that_is_skipped_is_found(line):
    assert ["test_skipped"] == codes(path="tests/test_a.py", added=["x = 1", line])
    assert [] == codes(path="tests/test_a.py", added=[line], removed=[line])
    assert [] == codes(path="src/a.py", added=[line])


def test_fewer_asserts_are_found_and_moved_ones_are_not():
    assert ["assert_removed"] == codes(
        path="tests/test_a.py", removed=["    assert a == 1", "    assert b"], added=["    assert b"]
    )
    assert [] == codes(path="tests/test_a.py", removed=["    self.assertEqual(1, 2)"], added=["    assert 1 == 2"])


def test_a_test_that_goes_away_is_found_however_it_goes():
    assert "test_deleted" in codes(path="tests/test_a.py", status="D", removed=["    assert a"])
    assert "test_deleted" in codes(path="src/old.py", old_path="tests/test_a.py", status="R")
    assert [] == codes(path="tests/test_b.py", old_path="tests/test_a.py", status="R")


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml", ".ci/run", "Makefile", "sub/Dockerfile", "pyproject.toml", "setup.py",
        "package.json", ".husky/pre-commit", "hooks/pre-push", ".pre-commit-config.yaml", "conftest.py",
        ".gitattributes", "x.pth", ".vscode/tasks.json",
    ],
)  # fmt: skip
def test_what_runs_elsewhere_is_found_by_its_path(path):
    assert "runs_elsewhere" in codes(path=path)


def test_what_was_not_read_to_its_end_is_a_finding():
    facts, _ = patch_of()

    assert ["not_read"] == codes(truncated=True)
    assert ["not_read"] == [finding.code for finding in find(facts, None)]


def test_a_flood_of_one_kind_does_not_hide_another():
    found = find(*patch_of(added=["a\u200b"] * 500 + ["ghp_" + RANDOM]))

    assert findings.MAX_OF_A_KIND + 1 == len(found)
    assert Finding("secret", "src/app.py", "The line holds what looks like a GitHub token.", 501) in found
