#!/usr/bin/env bash
# nvflare 2.9.0 (PyPI), Python 3.11: a POC for four named clients is refused unless their number is told as well.
#
# Behaviour: the documentation of `nvflare.recipe.PocEnv` says of `clients`: if it is given, the number of clients is
# ignored. It is not: `num_clients` has the default 2, and is compared with the length of the list. So a list of two
# names works, and any other raises a ValueError that speaks of a 2 that nobody has written.
# Seen: "Inconsistent: num_clients=2 but clients list has 4 entries"; with num_clients=4 beside the list it is taken.
# The good guess that misses: `PocEnv(clients=[...])`, as documented, for as many clients as there are names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nvflare==2.9.0
HOME="$folder" NVFLARE_POC_WORKSPACE="$folder/poc" "$folder/venv/bin/python" - <<'PYTHON'
from nvflare.recipe import PocEnv

names = ["a-site", "b-site", "c-site", "d-site"]
try:
    PocEnv(clients=names)
except ValueError as error:
    said = str(error)
else:
    raise SystemExit("changed: a list of four names is taken as it is")
assert "num_clients=2 but clients list has 4 entries" in said, f"changed: {said}"
assert PocEnv(clients=names[:2]).num_clients == 2
assert PocEnv(num_clients=4, clients=names).num_clients == 4
print("as described: the list is compared with a default that nobody has written")
PYTHON
