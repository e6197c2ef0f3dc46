"""Every method by its name, one file per kind. A new method is a new class, or a new file, in this folder."""

import importlib
import pkgutil

# Each file registers its classes; the paper's own heads come first where names are listed.
for _name in sorted((module.name for module in pkgutil.iter_modules(__path__)), key=lambda name: (name != "heads", name)):
    importlib.import_module(f"{__name__}.{_name}")
