"""Reports as a reader sees them, and what every one of them must show."""

import copy
from html.parser import HTMLParser

from nnthermo.experiments import page as shared

VOID = {"meta", "link", "img", "br", "hr", "input", "source", "col"}
HOSTILE = "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }} <img src=http://example.org/a.png>"


class Page(HTMLParser):
    """Checks nesting and gathers text, attributes and ids."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "small":  # a block of its own
            self.texts.append(" ")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in {"td", "th"}:
            self.texts.append(" ")

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def seen(text):
    """What a reader sees of a text of a statement: indices lowered, minus signs typeset."""
    return " ".join(Page(str(shared.indices(text))).text.split())


def record(command, settings, statements, **changes):
    """What `results.json` holds of any study."""
    return {
        "title": "What was found", "command": f"nnthermo {command} --output here", "quick": False,
        "settings": settings.to_json(), "data_source": "5,000 digits", "workers": 2,
        "versions": {"python": "3.11.0", "nnthermo": "0.1.0", "jax": "0.9.2"}, "machine": "x86_64, 2 cores",
        "date": "2026-01-02", "seconds": 7384.0, "statements": [s.to_json() for s in statements], **changes,
    }  # fmt: skip


def shows_everything(report, claims, results, folder, *others):
    """The page of some results, which has every statement, number, figure and caveat, and loads nothing.

    Args:
        report: the study's module.
        claims: of the study.
        results: as `results.json` holds them.
        folder: where the page goes, beside no other.
        others: what `write_report` takes besides; no figures if nothing.
    """
    folder.mkdir(exist_ok=True)
    before = copy.deepcopy(results)
    hostile = copy.deepcopy(results)
    hostile["statements"][0]["comment"] = strange = HOSTILE.partition("<img")[0].strip()
    file = report.write_report(folder, hostile, *(others or ([],)))
    assert file == folder / "report.html"
    assert results == before
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert strange in page.text
    assert not page.of("script")
    for statement in results["statements"][1:]:
        for part in ("key", "where", "claim", "criterion", "comment", "verdict"):
            assert seen(statement[part]) in page.text, statement[part]
        for row in statement["numbers"]:
            assert seen(row["label"]) in page.text
            assert shared.with_spread(row["mean"], row["spread"]) in page.text
    assert len(page.of("article")) == len(claims) == len({claim.key for claim in claims})
    for title, paper, ours, _ in report.FIGURES.values():
        assert all(seen(part) in page.text for part in (title, paper, ours))
    assert page.text.count("This figure was not drawn.") == (len(report.FIGURES) if not others else 0)
    assert all(seen(caveat) in page.text for caveat in report.CAVEATS)
    assert results["command"] in page.text
    assert len(page.ids) == len(set(page.ids))
    assert {a["href"][1:] for a in page.of("a")} <= set(page.ids)
    assert "://" not in text
    assert ("This is a short run" in page.text) == results["quick"]
    assert not list(folder.glob("*.partial"))
    return page
