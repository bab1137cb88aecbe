#!/bin/sh
# Builds the wheel, installs it into an empty environment in an empty folder, and uses it there:
# what ships must work without the checkout, and must not leak `states` or `tests` as imports.
set -eu
python=${PYTHON:-python3}
checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM

cp -r "$checkout/fsm_orchestrator" "$checkout/states" "$checkout/pyproject.toml" \
  "$checkout/README.md" "$folder"
"$checkout/.venv/bin/python" -m build --wheel --outdir "$folder/dist" "$folder" >"$folder/build.log" 2>&1 ||
  { cat "$folder/build.log"; exit 1; }
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$folder"/dist/*.whl
mkdir "$folder/empty"
cd "$folder/empty"
XDG_STATE_HOME="$folder/state"
export XDG_STATE_HOME
"$folder/venv/bin/fsm-orchestrator" ./out \
  --policy-status allow --ci-status success --review-status approved \
  --manager-bin /bin/sh --manager-arg -c --manager-arg "exit 0" \
  --executor-bin /bin/sh --executor-arg -c --executor-arg "exit 0" 2>/dev/null
"$folder/venv/bin/fsm-orchestrator" ./out --resume >/dev/null 2>&1
"$folder/venv/bin/fsm-orchestrator" explain ./out >/dev/null
for shell in bash zsh fish; do
  "$folder/venv/bin/fsm-orchestrator" completion "$shell" |
    cmp - "$checkout/fsm_orchestrator/cli/commands/completion_scripts/completion.$shell"
done
"$folder/venv/bin/fsm-orchestrator" init ./new >/dev/null
for name in run.toml manager.sh executor.sh; do
  cmp "new/$name" "$checkout/fsm_orchestrator/cli/commands/init_files/$name"
done
"$folder/venv/bin/fsm-orchestrator" report ./out >/dev/null
# Without the extra there is no page, and the error says what to install.
if "$folder/venv/bin/fsm-orchestrator" report ./out --html page.html 2>refused; then
  echo "a page was made without Jinja2" >&2
  exit 1
fi
grep -q "pip install 'fsm-orchestrator\[html\]'" refused
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$(echo "$folder"/dist/*.whl)[html]"
"$folder/venv/bin/fsm-orchestrator" report ./out --html page.html >/dev/null
grep -q 'prefers-color-scheme' page.html
# Without the other extra the page draws the path by itself, and says how to get the picture.
grep -q 'fsm-orchestrator\[diagrams\]' page.html
for name in states tests diagrams; do
  if "$folder/venv/bin/python" -c "import $name" 2>/dev/null; then
    echo "the wheel leaks a top-level import: $name" >&2
    exit 1
  fi
done
"$folder/venv/bin/python" - "$folder/fsm_orchestrator" <<'PY'
import importlib.resources, pathlib, sys, fsm_orchestrator
source = pathlib.Path(sys.argv[1])
package = pathlib.Path(fsm_orchestrator.__file__).parent
assert (package / "py.typed").is_file(), "py.typed is not in the wheel"
for name in ("governed_run.toml", "judged.jsonl"):
    assert importlib.resources.files("fsm_orchestrator.states").joinpath(name).is_file()
checkout = {path.relative_to(source) for path in source.rglob("*") if "__pycache__" not in path.parts}
shipped = {path.relative_to(package) for path in package.rglob("*") if "__pycache__" not in path.parts}
assert checkout <= shipped, f"not in the wheel: {sorted(map(str, checkout - shipped))}"
PY
# In a checkout, the code that lies there runs, with the lifecycles that lie there, installed copy or not.
sed -i 's/^title = .*/title = "the one of the checkout"/' "$folder/states/governed_run.toml"
cd "$folder"
"$folder/venv/bin/python" -m fsm_orchestrator lifecycle governed_run | grep -q 'the one of the checkout'
"$folder/venv/bin/python" -c 'from fsm_orchestrator.lifecycle.reading import shipped
assert shipped("governed_run").title == "the one of the checkout"'
echo "the wheel works in an empty environment"
