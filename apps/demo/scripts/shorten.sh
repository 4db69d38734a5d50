# Leave room for the ellipsis before cutting.
set -e
python3 - <<'PY'
from pathlib import Path

wrapping = Path("textkit/wrapping.py")
text = wrapping.read_text()
old = "    return text[:width].rstrip() + ELLIPSIS\n"
assert old in text
new = "    room = max(0, width - len(ELLIPSIS))\n    return (text[:room].rstrip() + ELLIPSIS)[:width]\n"
wrapping.write_text(text.replace(old, new))

tests = Path("tests/test_wrapping.py")
new = '''    def test_the_ellipsis_is_part_of_the_width(self):
        for width in range(20):
            self.assertLessEqual(len(shorten("a text that is longer than that", width)), width)
        self.assertEqual("a text...", shorten("a text that is longer than that", 9))


if __name__'''
tests.write_text(tests.read_text().replace("\nif __name__", new, 1))
PY
