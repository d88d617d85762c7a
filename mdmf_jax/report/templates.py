"""Pages from the templates in assets/report. Every text that a template is given is escaped.

Nothing here or in the modules that prepare a page's values marks text as safe: all markup
stands in the templates.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

# What HTML does not allow as text. Directions of writing end with the element that holds them.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(template: str, values: Mapping[str, Any]) -> str:
    """A template of assets/report, filled in.

    Args:
      values: by the name that the template has for each. A name that is missing is an error.
    """
    return environment().get_template(template).render(values)


def allowed(value: str) -> str:
    """Text with a sign in place of each character that HTML and XML do not allow."""
    return _FORBIDDEN.sub("\ufffd", value)


@cache
def environment() -> "Environment":
    """Reads the templates; escapes texts, also where they fill an attribute in double quotes."""
    # Imported here: only pages need it, and drawings take `allowed` from this module.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("mdmf_jax", "assets/report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_as_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _as_text(value: Any) -> Any:
    """What a template writes of a value; it is escaped after this."""
    from markupsafe import Markup

    return value if isinstance(value, Markup) else allowed(str(value))
