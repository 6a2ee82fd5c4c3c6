"""Each finding code is explained, each explained code is used, and the documentation has them all."""

from __future__ import annotations

import ast

import pytest

from ansible_collections.cadence.upkeep.plugins.module_utils._core.finding import Code
from tests.contract.collection import CODE, DOMAINS, PLUGINS, ROOT, codes_of, codes_used, name_of, python_files, tree_of


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_explains_its_codes(domain):
    assert (PLUGINS / "module_utils" / domain / "codes.py").is_file()
    assert codes_of(domain)


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_code_that_is_used_is_explained(domain):
    assert sorted(codes_used(domain) - set(codes_of(domain))) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_code_that_is_explained_is_used(domain):
    assert sorted(set(codes_of(domain)) - codes_used(domain)) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_code_is_a_stable_slug_with_a_meaning_and_the_next_step(domain):
    for slug, code in codes_of(domain).items():
        assert CODE.fullmatch(slug), slug
        assert isinstance(code, Code)
        assert code.meaning.endswith("."), slug
        # What is well needs no step; whatever else may be said does.
        assert code.remedy == "" or code.remedy.endswith("."), slug


def test_no_two_domains_share_a_code_or_its_first_word():
    owners: dict[str, set[str]] = {}
    for domain in DOMAINS:
        for code in codes_of(domain):
            owners.setdefault(code.partition(".")[0], set()).add(domain)
    assert {word: domains for word, domains in owners.items() if len(domains) > 1} == {}


def composed_codes(path):
    """Yield the places where a finding's code is put together at run time, so that nobody can look it up."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
            given = [keyword.value for keyword in node.keywords if keyword.arg == "code"] + node.args[:1]
            if any(isinstance(part, (ast.JoinedStr, ast.BinOp)) for code in given for part in ast.walk(code)):
                yield f"{name_of(path)}:{node.lineno}"


def test_no_code_is_put_together_at_run_time():
    """But for one, which every domain has: that nothing was examined."""
    places = [place for path in python_files("module_utils", "plugin_utils") for place in composed_codes(path)]
    assert [place for place in places if "_core/outcome.py" not in place] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_code_is_in_the_documentation_with_its_remedy(domain):
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert [code for code in codes_of(domain) if f"| `{code}` |" not in page] == []
