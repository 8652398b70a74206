"""Prints, as JSON, the public names of openleadr: package, server, client, modules; run by openleadr's own Python."""

import inspect
import json
from types import ModuleType
from typing import Any

import openleadr  # type: ignore[import-not-found]
from openleadr import OpenADRClient, OpenADRServer, enums, errors, objects, service, utils


def _own(module: ModuleType) -> list[str]:
    """What a module defines, and does not import."""

    def is_own(value: Any) -> bool:
        return not inspect.ismodule(value) and getattr(value, "__module__", module.__name__) == module.__name__

    short = module.__name__.rpartition(".")[2]
    return [f"{short}.{name}" for name, value in vars(module).items() if not name.startswith("_") and is_own(value)]


names = [name for name in vars(openleadr) if not name.startswith("_")]
for cls in (OpenADRServer, OpenADRClient):
    names += [f"{cls.__name__}.{name}" for name in vars(cls) if not name.startswith("_")]
    names += [f"{cls.__name__}({name})" for name in inspect.signature(cls).parameters]
names += [name for module in (enums, errors, objects, utils) for name in _own(module)]
classes = [found for found in vars(service).values() if inspect.isclass(found)]
names += {name for cls in classes for name in vars(cls) if name.startswith("on_")}
print(json.dumps(names))
