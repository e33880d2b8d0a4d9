"""A chat template that writes the date of today, as those of Llama 3 and Mistral do: it is given a fixed one.

With the real date, the same pairs would give other prompts tomorrow, and an ARM would answer under another
prompt than it was trained with.
"""

import datetime

# What Llama 3's own template says where there is no clock; the card names it.
DATE = datetime.date(2024, 7, 26)
CLOCK = "strftime_now"
Template = str | dict[str, str]  # several by name are possible; `default` is the one for chats
DIRECTIVES = "aAwdbBmyYHIMpSfjUWcxXGuVDFRThCzZ"


def pin_date(template: Template) -> Template:
    """A template whose clock stands still; the template itself where it reads none."""
    if isinstance(template, dict):
        return {name: str(pin_date(text)) for name, text in template.items()}
    return template if CLOCK not in template or _is_pinned(template) else _FROZEN_CLOCK + template


def pinned_date(template: Template) -> str | None:
    """The date that the template of a loaded tokenizer is given, None where it reads none."""
    texts = template.values() if isinstance(template, dict) else [template]
    return DATE.isoformat() if any(map(_is_pinned, texts)) else None


def added_lines(template: Template) -> int:
    """How many lines `pin_date` put before a template."""
    return int(isinstance(template, str) and _is_pinned(template))


def _is_pinned(template: str) -> bool:
    return template.startswith(_FROZEN_CLOCK)


def _frozen_clock() -> str:
    """A macro in the clock's place, on a line of its own, whose end Jinja drops."""
    noon = datetime.datetime.combine(DATE, datetime.time(12))
    values = {f"%{letter}": noon.strftime(f"%{letter}") for letter in DIRECTIVES}
    values |= {f"%-{letter}": values[f"%{letter}"].lstrip("0") or "0" for letter in "dmyHIMSjUW"}
    values["%e"] = f"{noon.day:2}"
    replaced = "".join(f"|replace({directive!r},{value!r})" for directive, value in values.items())
    body = f"{{{{ format|replace('%%','\\0'){replaced}|replace('\\0','%') }}}}"
    return f"{{% macro {CLOCK}(format) %}}{body}{{% endmacro %}}\n"


_FROZEN_CLOCK = _frozen_clock()
