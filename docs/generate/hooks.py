"""What MkDocs calls: pages are made or copied, `<!-- name argument -->` filled in, formulas set, equations linked."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equations
import formulas
import nbconvert
import reference
import results
import trust
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parent.parent.parent

PARTS: dict[str, Callable[..., str]] = {
    "equations": equations.section,
    "overview": equations.overview,
    "outcome": results.outcome,
    "table": results.table,
    "five_data": results.five_data,
    "listing": results.listing,
    "totals": results.totals,
    "audited": results.audited,
    "verdict": results.verdict,
    "coverage": trust.coverage,
}
"""What a comment in a page can name, with arguments: `<!-- table laws -->`, `<!-- verdict gravity Λ and N -->`. Links
of `results` start at the root of the site."""

COPIED = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "derivations.md": "tests/README.md",
    "benchmarks/README.md": "benchmarks/README.md",
    "benchmarks/peers/README.md": "benchmarks/peers/README.md",
}
"""Pages that are files of the repository."""


def on_config(config: Any) -> Any:
    """The navigation gets the pages of the API reference, before the findings."""
    place = next(i for i, entry in enumerate(config.nav) if "Findings" in entry)
    config.nav.insert(place, {"API": reference.nav()})
    config.watch += [str(ROOT / "nnthermo"), str(ROOT / "docs")]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Pages that are made, and files of the repository that are shown or given as they are."""
    for path, text in reference.pages().items():
        files.append(File.generated(config, path, content=text))
    for path, source in COPIED.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / source)))
    for path, source in _given():
        if source.name == "report.html":
            files.append(File.generated(config, path, content=_led_back(source.read_text(encoding="utf-8"))))
        else:
            files.append(File.generated(config, path, abs_src_path=str(source)))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = nbconvert.MarkdownExporter().from_filename(str(notebook))
        text += f"\n[Download this notebook]({notebook.name})\n"
        files.append(
            File.generated(
                config, f"notebooks/{notebook.stem}.md", content=text.replace("](output_", f"]({notebook.stem}_")
            )
        )
        for name, picture in pictures["outputs"].items():
            files.append(
                File.generated(config, f"notebooks/{name.replace('output_', f'{notebook.stem}_')}", content=picture)
            )
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Comments that name a part are replaced by it; links to public names lead to where these are defined."""
    root = "../" * page.file.src_uri.count("/")
    part = r"<!-- (\w+)(?: (\S+))?(?: (.+?))? -->"
    markdown = re.sub(part, lambda found: _part(found).replace("](/", f"]({root}"), markdown)
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation"]
        markdown = markdown.replace("```python\n>>>", "```pycon\n>>>")
        markdown = re.sub(r"(?<=\]\()[^):]+(?=\))", lambda found: _in_the_site(found[0]), markdown)
    return re.sub(r"\]\[(nnthermo\.[\w.]+)\]", lambda found: f"][{reference.where(found[1])}]", markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Indices are set, verdicts in tables get their colour, and each number of an equation leads to its verdict."""
    parts = re.split(r"(<a .*?</a>|<code.*?</code>|<pre.*?</pre>|<[^>]+>)", content, flags=re.DOTALL)
    shown = map(formulas.indices, parts[::2])
    number = r"\((\d+\.\d+)\)"
    if page.file.src_uri.startswith("benchmarks/"):  # where 2.4 (2.2) are times
        number = rf"(?<!\d ){number}"
    parts[::2] = (re.sub(number, lambda found: _link(found, page.file.url), text) for text in shown)
    return re.sub(r"(?<=<td>)(agrees|partly|disagrees)(?=</td>)", r'<span class="verdict \1">\1</span>', "".join(parts))


def _given() -> list[tuple[str, Path]]:
    """Paths in the site and in the repository of reports, their numbers and films, pictures and notebooks."""
    docs = ROOT / "docs"
    found = [(f"studies/{p.relative_to(docs)}", p) for p in docs.glob("*/*") if p.suffix in {".html", ".json"}]
    pictures = [p for where in ("*/*.png", "*/figures/*.png", "*/films/*.gif") for p in docs.glob(where)]
    found += [(f"studies/{p.relative_to(docs)}", p) for p in pictures]
    found += [(f"benchmarks/{p.name}", p) for p in (ROOT / "benchmarks").glob("*.png")]
    return found + [(f"notebooks/{p.name}", p) for p in (ROOT / "notebooks").glob("*.ipynb")]


def _led_back(report: str) -> str:
    """A report as it is on the site, with a link to the page of studies at its top."""
    return report.replace("<main>", '<main>\n<p class="kicker"><a href="../../studies.html">All studies</a></p>', 1)


def _in_the_site(path: str) -> str:
    """Where a file of the repository is in the site, both from their roots."""
    pages = {source: page for page, source in COPIED.items()}
    return pages.get(path) or path.removeprefix("docs/site/").replace("docs/", "studies/").replace(".ipynb", ".md")


def _part(found: re.Match[str]) -> str:
    name, *arguments = found.groups()
    if name not in PARTS:
        raise PluginError(f"no part of a page is called {name!r}")
    return PARTS[name](*(argument for argument in arguments if argument))


def _link(found: re.Match[str], here: str) -> str:
    row = equations.rows().get(found[1])
    if row is None:
        return found[0]
    page = get_relative_url(f"theory/{equations.PAGES[row.section]}.html", here)
    return f'<a class="cited" href="{page}#{row.anchor}" title="{row.verdict}">{found[0]}</a>'
