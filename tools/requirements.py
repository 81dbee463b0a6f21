"""Prints what pip has to install to build, test and lint attendo, read from pyproject.toml.

python tools/requirements.py pyproject.toml dev
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10: pip carries a copy
    from pip._vendor import tomli as tomllib


def expand(config: dict[str, Any], extra: str) -> list[str]:
    """The requirements of one extra; `name[a,b]` stands for the extras a and b of the project itself."""
    project = config["project"]
    own = re.compile(re.escape(project["name"]) + r"\[([\w, -]+)\]")
    requirements = []
    for requirement in project["optional-dependencies"][extra]:
        if match := own.fullmatch(requirement):
            for name in match[1].split(","):
                requirements += expand(config, name.strip())
        else:
            requirements.append(requirement)
    return requirements


def requirements(config: dict[str, Any], extras: list[str]) -> list[str]:
    """Everything to install: what builds the package, what it needs, and the extras."""
    backend = config["tool"]["scikit-build"]
    wanted = list(config["build-system"]["requires"])
    wanted += [tool + backend[tool]["version"] for tool in ("cmake", "ninja")]
    wanted += config["project"]["dependencies"]
    for extra in extras:
        wanted += expand(config, extra)
    return list(dict.fromkeys(wanted))


if __name__ == "__main__":
    pyproject = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("\n".join(requirements(pyproject, sys.argv[2:])))
