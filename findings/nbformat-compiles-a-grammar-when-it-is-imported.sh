#!/usr/bin/env bash
# nbformat 5.11.1, jsonschema 4.26.0, rfc3987-syntax 1.1.0, lark 1.3.1, jupyter-events 0.12.1 (PyPI), Python 3.11
#
# What happens: `import nbformat` imports jsonschema, whose checkers of formats import what is installed for them. For
# "iri" that is rfc3987-syntax, which compiles a grammar with lark while it is imported: about a second, most of the
# whole import. Whoever has JupyterLab has it, as jupyter-events wants jsonschema with its extra `format-nongpl`; a
# notebook's schema has no such format. So every command that reads a notebook (papermill, nbconvert, jupytext) waits.
#
# Seen:           with jupyter-events installed: lark has been imported, and most of the import's time is the grammar's;
#                 without: no lark; with the module kept out (sys.modules), nbformat validates a notebook all the same
# The good guess: an optional checker costs something when a schema asks for it, not when somebody reads a notebook
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  nbformat==5.11.1 jsonschema==4.26.0 rfc3987-syntax==1.1.0 lark==1.3.1 jupyter-events==0.12.1
cat > "$folder/plain.py" << 'PYTHON'
import sys, time

began = time.perf_counter()
import nbformat

print(f"{time.perf_counter() - began:.2f}", "lark" in sys.modules, "rfc3987_syntax" in sys.modules)
PYTHON
cat > "$folder/without.py" << 'PYTHON'
import sys, time

sys.modules["rfc3987_syntax"] = None  # cannot be imported
began = time.perf_counter()
import nbformat

nbformat.validate(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("text")]))
print(f"{time.perf_counter() - began:.2f}", "lark" in sys.modules)
PYTHON
for script in plain without plain without; do  # the first two warm the disk
  read -r "$script" rest < <("$folder/venv/bin/python" "$folder/$script.py")
  declare "said_$script=$rest"
done
echo "import nbformat: $plain s ($said_plain); without the module, a notebook validated: $without s ($said_without)"
[ "$said_plain" = "True True" ] || { echo "changed: the grammar is not compiled any more"; exit 1; }
[ "$said_without" = "False" ] || { echo "changed: lark comes another way"; exit 1; }
awk -v with="$plain" -v without="$without" 'BEGIN { exit !(with > 1.5 * without) }' ||
  { echo "changed: it costs little now"; exit 1; }
