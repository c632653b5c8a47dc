"""What lab.yaml imports: a user's own drivers, known to labgrid's factory while the file is checked.

labgrid's Environment runs a ``.py`` file again when it is made, and its factory refuses a class name that it has
already. So what such a file registers is forgotten afterwards; an imported module stays, as Python keeps it.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from labgrid.factory import target_factory

from harness.lab.yaml_reader import Reader


@contextlib.contextmanager
def loaded(reader: Reader, node: Any, folder: Path) -> Iterator[None]:
    """Load what the list *node* names, paths relative to *folder*, as labgrid's Environment does; ConfigError."""
    names = reader.value(node, tuple[str, ...], "`imports`") if node is not None else ()
    known = {id(registry): set(registry) for registry in _registries()}
    modules = dict(sys.modules)
    files: list[str] = []  # by the names that their modules get
    try:
        for item, name in zip(node.value if names else (), names, strict=True):
            try:
                _load(name, folder, files)
            except Exception as error:  # a user's code may raise anything
                message = f"import of `{name}` failed: {type(error).__name__}: {error}"
                raise reader.fault(item, message, evidence=_where(error)) from error
        yield
    finally:
        for registry in _registries():
            for name in [name for name, cls in registry.items() if cls.__module__ in files]:
                if name not in known[id(registry)]:
                    del registry[name]
        for file in files:
            sys.modules.pop(file, None)
            sys.modules.update({file: modules[file]} if file in modules else {})


def _load(name: str, folder: Path, files: list[str]) -> None:
    """Import *name*; append to *files* what it is called if it is a file."""
    path = folder / os.path.expandvars(Path(name).expanduser())
    if path.suffix != ".py":
        importlib.import_module(name)
        return
    files.append(path.stem)
    loader = SourceFileLoader(path.stem, str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[path.stem] = module


def _registries() -> tuple[dict[str, type], ...]:
    return target_factory.resources, target_factory.drivers, target_factory.all_classes


def _where(error: BaseException) -> list[str]:
    """Return the line of code that raised *error*, unless it was the import itself."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return [] if "importlib" in last.filename else [f"{last.filename}:{last.lineno}: {last.line}"]
