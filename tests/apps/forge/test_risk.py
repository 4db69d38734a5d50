from __future__ import annotations

import pytest

from apps.forge.risk import HIGH, LOW, MEDIUM, Risk, Settings, assess, matches
from apps.repos.diff import DiffFacts, FileChange
from apps.repos.findings import Finding


def change(path: str = "src/app.py", status: str = "M", **more: object) -> FileChange:
    return FileChange(path=path, status=status, **{"added": 3, "deleted": 1, **more})  # type: ignore[arg-type] # any field


def risk_of(*files: FileChange, **more: object) -> Risk:
    given = {"verification": "passed", "tests_exist": True, "task_tier": "trivial", "findings": [], **more}
    return assess(DiffFacts("a" * 40, "b" * 40, files or (change(),)), **given)  # type: ignore[arg-type] # any argument


def codes(risk: Risk) -> set[str]:
    return {reason.code for reason in risk.reasons}


def test_a_small_verified_change_of_known_files_is_low_without_a_reason():
    assert Risk(LOW) == risk_of()


def test_what_could_not_be_computed_is_high():
    risk = assess(None, verification="passed", tests_exist=True, task_tier="trivial", findings=[])

    assert (HIGH, {"unknown_changes"}) == (risk.tier, codes(risk))


@pytest.mark.parametrize(
    ("files", "tier", "code"),
    [
        ([change(added=10, deleted=9)], LOW, None),
        ([change(added=10, deleted=10)], MEDIUM, "lines"),
        ([change(added=1000)], HIGH, "lines"),
        ([change(f"f{n}.py", added=1) for n in range(3)], LOW, None),
        ([change(f"f{n}.py", added=1) for n in range(4)], MEDIUM, "files"),
        ([change(f"f{n}.py", added=0, deleted=0) for n in range(50)], HIGH, "files"),
        ([change(status="A")], MEDIUM, "new_files"),
        ([change(added=0, deleted=90)], MEDIUM, "mostly_deletes"),
        ([change(".github/workflows/ci.yml")], HIGH, "protected_paths"),
        ([change("CODEOWNERS")], HIGH, "protected_paths"),
        ([change("src/Auth/login.py")], HIGH, "protected_paths"),
        ([change("auth/login.py")], HIGH, "protected_paths"),
        ([change("shop/migrations/0001_initial.py")], HIGH, "protected_paths"),
        ([change("config/.env.production")], HIGH, "protected_paths"),
        ([change("src/x.py", "R", old_path=".github/x.py")], HIGH, "protected_paths"),
        ([change("package-lock.json")], HIGH, "dependencies"),
        ([change("requirements/dev.txt")], HIGH, "dependencies"),
        ([change("link", new_mode="120000")], HIGH, "symlink"),
        ([change("sub", new_mode="160000")], HIGH, "gitlink"),
        ([change("run", new_mode="100755")], HIGH, "executable"),
        ([change("run", "T", old_mode="120000")], HIGH, "type_changed"),
        ([change("logo.png", binary=True)], HIGH, "binary"),
        ([change(status="X")], HIGH, "unknown_change"),
    ],
)
def test_the_difference_decides(files, tier, code):
    risk = risk_of(*files)

    assert tier == risk.tier
    assert code is None or code in codes(risk)


def test_no_change_at_all_is_high():
    risk = assess(
        DiffFacts("a" * 40, "b" * 40), verification="passed", tests_exist=True, task_tier="trivial", findings=[]
    )

    assert (HIGH, {"empty"}) == (risk.tier, codes(risk))


@pytest.mark.parametrize(
    ("given", "tier", "code"),
    [
        ({"verification": "failed"}, HIGH, "verification_failed"),
        ({"verification": "stale"}, HIGH, "verification_stale"),
        ({"verification": "none"}, MEDIUM, "not_verified"),
        ({"verification": "unknown"}, HIGH, "verification_unknown"),
        ({"verification": "???"}, HIGH, "verification_unknown"),
        ({"tests_exist": False}, MEDIUM, "no_tests"),
        ({"tests_exist": None}, HIGH, "tests_unknown"),
        ({"task_tier": "standard"}, LOW, None),
        ({"task_tier": "complex"}, MEDIUM, "complex_task"),
        ({"task_tier": "unknown"}, HIGH, "unknown_task"),
        ({"findings": None}, HIGH, "not_scanned"),
        ({"declared": ["src/other.py"]}, HIGH, "scope_drift"),
        ({"declared": ["src/"]}, LOW, None),
        ({"declared": ["src/*.py"]}, LOW, None),
        ({"protected": ["src/app.py"]}, HIGH, "protected_paths"),
    ],
)
def test_what_is_known_about_the_work_decides_too(given, tier, code):
    risk = risk_of(**given)

    assert (tier, {code} - {None}) == (risk.tier, codes(risk))


def test_a_test_of_the_declared_file_is_no_drift():
    assert LOW == risk_of(change(), change("tests/test_app.py"), declared=["src/app.py"]).tier


@pytest.mark.parametrize(
    ("code", "reason", "blocked"),
    [
        ("secret", "secrets", True),
        ("hidden_character", "hidden_characters", False),
        ("test_deleted", "weakened_tests", False),
        ("test_skipped", "weakened_tests", False),
        ("assert_removed", "weakened_tests", False),
        ("runs_elsewhere", "runs_elsewhere", False),
        ("not_read", "not_read", False),
        ("never_heard_of", "never_heard_of", False),
    ],
)
def test_every_finding_is_high_and_a_secret_blocks(code, reason, blocked):
    risk = risk_of(findings=[Finding(code, "src/app.py", "Something.", 3)])

    assert (HIGH, {reason}, blocked) == (risk.tier, codes(risk), risk.blocked)


def test_the_worst_reason_comes_first_and_names_are_safe_to_show():
    risk = risk_of(change(status="A"), findings=[Finding("secret", "a\u202eb\n.py", "Something.", 1)])

    assert "secrets" == risk.reasons[0].code
    assert all(reason.sentence.isprintable() for reason in risk.reasons)


def test_many_paths_are_counted_and_not_all_listed():
    risk = risk_of(*(change(f".github/{n}") for n in range(9)))

    assert "and 4 more" in next(reason.sentence for reason in risk.reasons if reason.code == "protected_paths")


def test_the_thresholds_are_settings():
    assert LOW == risk_of(change(added=300), settings=Settings(max_lines=1000)).tier
    assert LOW == risk_of(change(".github/x"), settings=Settings(protected=())).tier


@pytest.mark.parametrize(
    ("path", "rule", "expected"),
    [
        ("a/b.py", "a/", True),
        ("a/b.py", "a", True),
        ("ab/b.py", "a", False),
        ("ab/b.py", "a/", False),
        ("A/B.py", "a/b.py", True),
        ("a/b.py", "./a/b.py", True),
        ("x/auth/y.py", "**/auth/**", True),
        ("auth/y.py", "**/auth/**", True),
        ("authors.py", "**/auth/**", False),
        ("deep/key.pem", "**/*.pem", True),
        ("key.pem", "**/*.pem", True),
        ("anything", "", False),
        ("anything", "/", False),
    ],
)
def test_a_rule_names_a_file_a_directory_or_a_pattern(path, rule, expected):
    assert expected == matches(path, rule)


def test_tests_that_break_when_they_are_put_back_are_named():
    risk = risk_of(change("tests/test_sum.py"), broken_tests=["tests/test_sum.py"])

    assert HIGH == risk.tier
    assert ["With these tests as they were, the checks do not pass: tests/test_sum.py."] == [
        reason.sentence for reason in risk.reasons
    ]


@pytest.mark.parametrize(
    ("command", "flagged"),
    [
        ("sh check.sh", True),
        ("./check.sh --all", True),
        ("make x && python3 -B check.sh", True),
        ("! bash 'check.sh'", True),
        ("grep -q word check.sh", False),
        ("python3 -m unittest", False),
        ("sh other.sh check.sh", False),
    ],
)
def test_who_changes_the_program_that_checks_is_flagged(command, flagged):
    assert flagged is ("own_checks" in codes(risk_of(change("check.sh"), run_by_checks=[command])))
    assert "own_checks" not in codes(risk_of(change("check.sh"), run_by_checks=[command], declared=["check.sh"]))
