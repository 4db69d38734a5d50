# Say in the manual what slugs are.
set -e
mkdir -p docs
cat > docs/slugs.md <<'MD'
# Slugs

`slugify(text)` makes an address out of a title: lower-case letters, digits and dashes.

| title | slug |
|---|---|
| Hello, big World! | `hello-big-world` |
| Crème brûlée | `creme-brulee` |
MD
grep -v '^| `slugs.slugify` ' README.md > readme.new
cat readme.new > README.md
rm readme.new
