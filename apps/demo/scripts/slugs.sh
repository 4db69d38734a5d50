# Take accented letters apart and keep the letter; prove it with a test.
set -e
python3 - <<'PY'
from pathlib import Path

slugs = Path("textkit/slugs.py")
text = slugs.read_text()
text = text.replace("import re\n", "import re\nimport unicodedata\n", 1)
text = text.replace("text.lower())", "_plain(text).lower())", 1)
text += '''

def _plain(text):
    parts = unicodedata.normalize("NFKD", text)
    return "".join(part for part in parts if not unicodedata.combining(part))
'''
slugs.write_text(text)

tests = Path("tests/test_slugs.py")
new = '''    def test_letters_lose_their_accents_and_stay(self):
        self.assertEqual("creme-brulee", slugify("Crème brûlée"))


if __name__'''
tests.write_text(tests.read_text().replace("\nif __name__", new, 1))
PY
