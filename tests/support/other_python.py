"""A separate Python for a test, with all that this one has and a little more.

A folder on PYTHONPATH does not suffice: the command ignores it.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def other_python(folder: Path, **modules: str) -> str:
    """Make a virtual environment in `folder` with these modules, by name, and all of this Python's.

    The given modules come first. Returns the path of its interpreter.
    """
    real = Path(sys.executable).resolve()
    program = folder / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to(real)
    (folder / "pyvenv.cfg").write_text(f"home = {real.parent}\n")
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages /= "site-packages"
    packages.mkdir(parents=True)
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    for name, text in modules.items():
        (packages / f"{name}.py").write_text(text)
    return str(program)
