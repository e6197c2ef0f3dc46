"""docs/render.py as a module, for the tests of the pages."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_spec = importlib.util.spec_from_file_location("docs_render", ROOT / "docs" / "render.py")
docs = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(docs)
