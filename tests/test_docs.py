"""Tests of the documentation: links and anchors resolve, commands parse, Python imports, versions agree."""

import ast
import json
import re
import shlex
import tomllib
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
import typer
import yaml

import ddbench
from ddbench.cli.main import app
from ddbench.errors import DDBenchError

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "baselines/README.md",
        ROOT / "tests/gpu/README.md",
    )
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = typer.main.get_command(app)
HISTORY = ("CHANGELOG.md",)  # names commands and modules as they were


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, *languages):
    return [body for language, body in FENCE.findall(text_of(page)) if language in languages]


def anchors(page):
    """Anchors of a page's headings, as GitHub and MkDocs make them: lower case, spaces to `-`, no punctuation."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def links():
    for page in PAGES:
        prose = FENCE.sub("", text_of(page))
        for target in LINK.findall(re.sub(r"`[^`\n]*`", "", prose)):
            if not target.startswith(("http:", "https:", "mailto:")):
                yield page, target


def commands_in_blocks():
    """Whole command lines of fenced blocks without a language: (page, arguments after `ddbench`)."""
    for page in PAGES:
        if page in HISTORY:
            continue
        for body in blocks(page, ""):
            for line in body.replace("\\\n", " ").splitlines():
                found = re.match(r"(?:\$ )?(?:pip install uv && )?(?:[A-Z_]+=\S+ )*(?:uv run )?ddbench +(.*)", line)
                if found:
                    yield page, tuple(shlex.split(found[1], comments=True))


def commands_in_prose():
    """Commands named between backticks, which may leave arguments out: (page, arguments after `ddbench`)."""
    for page in PAGES:
        if page not in HISTORY:
            for found in re.findall(r"`(?:[A-Z_]+=\S+ )*(?:uv run )?ddbench ([^`\n]+)`", FENCE.sub("", text_of(page))):
                yield page, tuple(word.strip("[]") for word in found.split())


def as_typed(value):
    """The part of a test's name that is made of a page or of a command's arguments."""
    return value if isinstance(value, str) else "_".join(value)


def resolve(arguments):
    """The click command that arguments name, and what is left for it to parse."""
    command, rest = COMMANDS, list(arguments)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        named = command.commands.get(rest[0])
        if named is None and "judge" in command.commands:  # `ddbench claims FILE` is `ddbench claims judge FILE`
            named, rest = command.commands["judge"], ["judge", *rest]
        assert named is not None, f"there is no command {rest[0]!r}"
        command, rest = named, rest[1:]
    return command, rest


def python_blocks():
    for page in PAGES:
        for number, body in enumerate(blocks(page, "python")):
            yield pytest.param(page, body, id=f"{page}-{number}")


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 90


@pytest.mark.parametrize(("page", "target"), sorted(set(links())))
def test_links_resolve(page, target):
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists(), f"{page} links to {target}, which is not there"
    if anchor:
        assert anchor in anchors(file.relative_to(ROOT) if not path else file.resolve().relative_to(ROOT))


def test_there_are_links_and_commands_to_test():
    assert len(set(links())) > 30
    assert len(set(commands_in_blocks())) > 30


@pytest.mark.parametrize(("page", "arguments"), sorted(set(commands_in_blocks())), ids=as_typed)
def test_commands_in_blocks_parse(page, arguments):
    command, rest = resolve(arguments)
    known = {name for parameter in command.params for name in parameter.opts}
    unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in {*known, "--help"}]
    assert not unknown
    if not {"--help", "--version"} & set(rest):
        with suppress(DDBenchError):  # files, suites and methods of the reader's, which are not here
            command.make_context("ddbench", [*rest])  # raises a usage error for what the shell would refuse


@pytest.mark.parametrize(("page", "arguments"), sorted(set(commands_in_prose())), ids=as_typed)
def test_commands_in_prose_exist(page, arguments):
    if arguments[0].isupper():  # `ddbench COMMAND --help`
        return
    command, rest = resolve(arguments)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert not [word for word in rest if word.startswith("-") and word not in {*known, "--help"}]


@pytest.mark.parametrize(("page", "source"), list(python_blocks()))
def test_python_compiles_and_its_imports_resolve(page, source):
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ddbench":
            module = import_module(node.module)
            assert not [alias.name for alias in node.names if not hasattr(module, alias.name)]


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [path.name for path in (ROOT / "docs").glob("*.md") if f" {path.name}\n" not in nav]


def test_protocols_page_names_every_protocol_with_its_hash():
    page, golden = text_of("docs/protocols.md"), json.loads(text_of("tests/golden/protocols.json"))
    names = [f"`{protocol['fields']['name']}@{protocol['hash']}`" for protocol in golden.values()]
    assert not [name for name in names if name not in page]


def test_versions_agree():
    project = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert ddbench.__version__ == project == citation["version"]
    assert f"## [{project}] - {citation['date-released']}" in text_of("CHANGELOG.md")


@pytest.mark.parametrize("form", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_are_yaml(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.parent.name == "ISSUE_TEMPLATE" and form.name != "config.yml":
        assert content["name"]
        assert content["description"]
        fields = [part for part in content["body"] if part["type"] != "markdown"]
        assert len({part["id"] for part in fields}) == len(fields)
        assert all(part["attributes"]["label"] for part in fields)
