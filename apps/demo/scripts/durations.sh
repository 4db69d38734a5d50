# Add the parts up. The first attempt believes that this is all; the next one is told what failed, and reads it.
set -e
python3 - <<'PY'
import json, os
from pathlib import Path

brief = json.loads(Path(os.environ["AGENTCOM_BRIEF_FILE"]).read_text())
failed = [check for attempt in brief["previous"] for check in attempt["failed_checks"]]

durations = Path("textkit/durations.py")
text = durations.read_text().replace("seconds = int(", "seconds += int(", 1)
if any("test_rubbish_is_an_error" in check["output"] for check in failed):
    print("The last attempt failed test_rubbish_is_an_error: rubbish has to be refused too.")
    old = "    seconds = 0\n"
    new = '    if not re.fullmatch(rf"\\s*(?:{PART.pattern}\\s*)+", text):\n        raise ValueError(f"no duration: {text!r}")\n'
    text = text.replace(old, new + old, 1)
else:
    print("The parts have to be added up.")
durations.write_text(text)

tests = Path("tests/test_durations.py")
lines = tests.read_text().splitlines(keepends=True)
tests.write_text("".join(line for line in lines if "expectedFailure" not in line))
PY
