"""Every method by its name, one file per kind. A new method is a new class, or a new file, in this folder."""

import importlib
import pkgutil

for _, _name, _ in sorted(pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_name}")  # each registers its classes
