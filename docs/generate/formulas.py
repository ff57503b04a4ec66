"""Subscripts and superscripts of formulas in plain text: g_ab, Γ^a_bc, Σ_(k≥2), e^{-kt}, 10^-3, ∂_θH."""

import re

LETTER = r"[A-Za-zÀ-ɏḀ-ỿ]"

BASE = (
    rf"(?:(?<![A-Za-z_.]){LETTER}?{LETTER}|(?<=\b[A-Za-z]_[A-Za-z]){LETTER}(?=_)|(?<=[ᵀ²³]H)e|[Ͱ-Ͽ∂∇∫Σ])[\u0300-\u036f]*['′]*"
    r"|[A-Za-z](?=\^\{)|(?<![A-Za-z_.])(?:min|max)(?=_[a-z](?![a-z_]))|[)|\]₀]|(?<![\d.])(?:10|2)"
)
"""What carries an index: one letter or two, as d and its variable, but not the end of a name such as `log_det`."""

LOWER = (
    r"_(?:\{(?P<low_braced>[^{}]+)\}|\((?P<low_bracketed>(?:[^()]|\([^()]*\))+)\)"
    r"|(?P<low_plain>\d+|&[gl]t;|[∂⊥]|[α-ω]+"
    r"|[A-Za-z](?=[A-Za-z]_)|[A-Za-z]{1,4}(?![A-Za-z_])[\u0300-\u036f]*(?:,[a-z](?![A-Za-z]))?))"
)
"""An index below: in braces or brackets, which go; a number; letters of an alphabet, a derivative after a comma."""

UPPER = (
    r"\^(?:\{(?P<up_braced>[^{}]+)\}|\((?P<up_bracketed>(?:[^()]|\([^()]*\))+)\)"
    r"|(?P<up_plain>-?\d+(?:\.\d+)?|[∞ℓ]|[α-ω]+|(?<=d\^)[A-Za-z]|[A-Za-z]{1,5}))"
)

INDICES = re.compile(rf"(?P<base>{BASE})(?:{UPPER})?(?:{LOWER})?(?:{UPPER.replace('up_', 'power_')})?")


def indices(text: str) -> str:
    """HTML text between tags, with its indices as `<sub>` and `<sup>`."""
    return INDICES.sub(_raised_and_lowered, text)


def _raised_and_lowered(found: re.Match[str]) -> str:
    shown = found["base"]
    for tag, place in (("sup", "up"), ("sub", "low"), ("sup", "power")):
        ways = (found[f"{place}_{how}"] for how in ("braced", "bracketed", "plain"))
        index = next((way for way in ways if way), "")
        index = f"({index})" if shown == "∫" and found["low_bracketed"] else index  # an interval
        shown += f"<{tag}>{indices(index)}</{tag}>" if index else ""
    return shown
