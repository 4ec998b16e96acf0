"""The patterns by which outputs are compared: the same file that nbval reads."""

import re
from pathlib import Path

from nbval.plugin import get_sanitize_patterns

PATTERNS_FILE = Path(__file__).with_name("sanitize.cfg")


def sanitized(text: str) -> str:
    """`text` with all that varies from run to run replaced."""
    for pattern, replacement in get_sanitize_patterns(PATTERNS_FILE.read_text(encoding="utf-8")):
        text = re.sub(pattern, replacement, text)
    return text
