"""What stands beside the code agrees with it: hooks with CI, the citation with the version, the issue form with the API."""

from pathlib import Path

import pytest

import stainxform

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]


def read(path):
    return yaml.safe_load((ROOT / path).read_text())


def test_pre_commit_runs_what_ci_runs_and_fetches_nothing():
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    commands = {hook["entry"].removesuffix(" --force-exclude") for hook in local["hooks"]}
    section = (ROOT / ".ci/run").read_text().partition('echo "== lint and types"\n')[2].partition("\n\n")[0]
    assert commands == {line.removesuffix(" .") for line in section.splitlines()}


def test_the_citation_names_this_version():
    citation = read("CITATION.cff")
    assert citation["version"] == stainxform.__version__
    assert f"license = {citation['license']}\n" in (ROOT / "setup.cfg").read_text()


def test_the_reproducer_of_a_bug_report_runs():
    fields = {field.get("id"): field for field in read(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    names = {}
    exec(fields["reproducer"]["attributes"]["value"], names)
    assert names["result"].shape == names["theirs"][0].shape
    assert all(field["type"] in {"markdown", "textarea", "checkboxes"} for field in fields.values())


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_issue_forms_have_what_github_asks_for(form):
    content = read(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert content["name"]
    assert content["description"]
    for field in content["body"]:
        assert "value" in field["attributes"] or "label" in field["attributes"]
